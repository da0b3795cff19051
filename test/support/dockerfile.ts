/** The Dockerfile as its stages and instructions, for the tests of the image. */
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import {
  DockerfileParser,
  JSONInstruction,
  ModifiableInstruction,
  PropertyInstruction
} from 'dockerfile-ast'

export interface Instruction {
  readonly keyword: string
  /** Without flags. An exec form: the strings of its array. ARG, ENV, LABEL: `NAME=value`, unquoted. */
  readonly words: readonly string[]
  readonly flags: ReadonlyMap<string, string>
  readonly isExecForm: boolean
  readonly line: number
}

export interface Stage {
  /** Empty: the last one, which has no name. */
  readonly name: string
  readonly from: string
  /** Without its FROM. */
  readonly instructions: readonly Instruction[]
}

export interface Parsed {
  /** ARG lines in front of the first stage. */
  readonly globals: readonly Instruction[]
  readonly stages: readonly Stage[]
}

export function readDockerfile(): Parsed {
  const text = readFileSync(join(import.meta.dirname, '../../Dockerfile'), 'utf8')
  const globals: Instruction[] = []
  const stages: { name: string; from: string; instructions: Instruction[] }[] = []
  for (const parsed of DockerfileParser.parse(text).getInstructions()) {
    const flags =
      parsed instanceof ModifiableInstruction
        ? parsed.getFlags().map(flag => [flag.getName(), flag.getValue() ?? ''] as const)
        : []
    const strings = parsed instanceof JSONInstruction ? parsed.getJSONStrings() : []
    const properties = parsed instanceof PropertyInstruction ? parsed.getProperties() : []
    const words = parsed.getArguments().map(argument => argument.getValue())
    if (strings.length > 0) words.splice(0, Infinity, ...strings.map(text => text.getJSONValue()))
    if (properties.length > 0) {
      const pairs = properties.map(pair => `${pair.getName()}=${pair.getValue() ?? ''}`)
      words.splice(0, Infinity, ...pairs)
    }
    const instruction = {
      keyword: parsed.getKeyword(),
      words,
      flags: new Map(flags),
      isExecForm: strings.length > 0,
      line: parsed.getRange().start.line + 1
    }
    if (instruction.keyword === 'FROM') {
      const [from = '', , name = ''] = words
      stages.push({ name, from, instructions: [] })
    } else (stages.at(-1)?.instructions ?? globals).push(instruction)
  }
  return { globals, stages }
}
