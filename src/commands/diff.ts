/** `tollgate diff OLD NEW`: who may do what by one route file and by another. */
import { type Command, Option } from 'commander'
import { countDiff, diffRoutes, type RoutesDiff } from '../routes/diff.ts'
import { changeOf, formatDiff, keyOf } from '../routes/diff-text.ts'
import { CommandExit, type CommandIo, formatJson, paintFor } from './output.ts'
import { outputOption, requireRoutes } from './route-file.ts'
import { readOwnRoutes } from './settings.ts'

interface DiffOptions {
  readonly failOn?: 'widened'
  readonly output: 'table' | 'json'
}

export function registerDiff(program: Command, io: CommandIo): void {
  program
    .command('diff')
    .description('who may do what by one route file and by another, with a request for each change')
    .argument('<old>', 'the route file that is in force')
    .argument('<new>', 'the one that would be')
    .addOption(
      new Option('--fail-on <what>', 'end with 1 if anything passes that did not').choices([
        'widened'
      ])
    )
    .addOption(outputOption())
    .action(async (before: string, after: string, { failOn, output }: DiffOptions) => {
      const [old, next] = [await requireRoutes(io, before), await requireRoutes(io, after)]
      const diff = await diffRoutes(old.table, next.table, readOwnRoutes(io))
      io.out(output === 'json' ? formatJson(diffJson(diff)) : formatDiff(diff, paintFor(io)))
      const { widened, moved } = countDiff(diff)
      if (failOn && widened + moved > 0) throw new CommandExit(1)
    })
}

function diffJson(diff: RoutesDiff) {
  const lines = diff.lines.map(line => ({
    word: line.word,
    key: keyOf(line),
    change: changeOf(line),
    place: (line.after ?? line.before)?.place,
    examples: line.examples.map(({ asked: { body, ...asked }, ...example }) => ({
      ...example,
      ...asked,
      body: body && Buffer.from(body).toString('utf8')
    }))
  }))
  return { ...countDiff(diff), lines, defaults: diff.defaults }
}
