/**
 * The gate into manifests: text in, text out; no cluster, no clock, no environment. What is injected
 * already stays byte for byte, and so does every document that has nothing to do with it.
 */
import type { Change } from './changes.ts'
import type { Fields, Note } from './fields.ts'
import { type Manifests, readManifests, type Resource } from './manifests.ts'
import { injectPod, podPathOf, type PodOptions } from './pod.ts'
import { selects, type Target, turnService } from './services.ts'
import { textAt } from './fields.ts'
import { applyEdits } from './text-edits.ts'

export interface InjectOptions extends PodOptions {
  /** For messages: `deployment.yaml`. */
  readonly file: string
  /** The only Service to turn to the gate. */
  readonly service: string | undefined
}

export type Injected =
  /** `warnings` are `FILE:LINE: sentence`. */
  | { readonly text: string; readonly warnings: readonly string[]; readonly pods: number }
  | { readonly problems: readonly string[] }

interface Plan {
  readonly resource: Resource
  readonly changes: readonly Change[]
}

export function inject(text: string, options: InjectOptions): Injected {
  const { file } = options
  const read = readManifests(text)
  if ('problems' in read) {
    return { problems: read.problems.map(({ line, message }) => `${file}:${line}: ${message}`) }
  }
  const say = (resource: Resource, { path, message }: Note) =>
    `${file}:${read.lineOf(resource, path)}: ${nameOf(resource.value)}: ${message}`
  const problems: string[] = []
  const warnings: string[] = []
  const plans: Plan[] = []
  const targets: (Target & { readonly resource: Resource })[] = []
  for (const resource of read.resources) {
    const path = podPathOf(resource.value)
    if (path === undefined) continue
    const pod = injectPod(resource.value, path, options)
    if ('problems' in pod) problems.push(...pod.problems.map(note => say(resource, note)))
    else {
      plans.push({ resource, changes: pod.changes })
      warnings.push(...pod.warnings.map(note => say(resource, note)))
      const namespace = textAt(resource.value, 'metadata', 'namespace')
      targets.push({ app: pod.app, labels: pod.labels, namespace, resource })
    }
  }
  for (const { resource, note } of turnServices(read, targets, options, plans)) {
    warnings.push(say(resource, note))
  }
  if (options.exposure === 'warn') {
    const message =
      'an app that can be reached past the gate is only reported: see --exposure refuse'
    for (const { resource } of targets) warnings.push(say(resource, { path: [], message }))
  }
  if (problems.length > 0) return { problems }
  return carryOut(text, read, plans, { file, warnings, pods: targets.length })
}

function nameOf(resource: Fields): string {
  return `${textAt(resource, 'kind')} ${textAt(resource, 'metadata', 'name') ?? ''}`.trimEnd()
}

/** Adds to `plans`; gives what is to be told. */
function turnServices(
  { resources }: Manifests,
  targets: readonly (Target & { readonly resource: Resource })[],
  { service: wanted }: InjectOptions,
  plans: Plan[]
): readonly { readonly resource: Resource; readonly note: Note }[] {
  const services = resources.filter(
    ({ value }) => wanted === undefined || textAt(value, 'metadata', 'name') === wanted
  )
  return targets.flatMap(target => {
    const selecting = services.filter(({ value }) => selects(value, target))
    const told = selecting.flatMap(resource => {
      const { changes, warnings } = turnService(resource.value, target)
      plans.push({ resource, changes })
      return warnings.map(note => ({ resource, note }))
    })
    if (selecting.length > 0) return told
    const which = wanted === undefined ? 'a Service that selects this pod' : `the Service ${wanted}`
    const message = `${which} was not in the input: its targetPort has to be 8080`
    return [{ resource: target.resource, note: { path: [], message } }]
  })
}

function carryOut(
  text: string,
  read: Manifests,
  plans: readonly Plan[],
  { file, warnings, pods }: { file: string; warnings: readonly string[]; pods: number }
): Injected {
  const changesOf = new Map<Resource, Change[]>()
  for (const { resource, changes } of plans) {
    const known = changesOf.get(resource) ?? []
    // Two workloads may share a Service: it is turned once.
    const fresh = changes.filter(
      change => !known.some(other => JSON.stringify(other) === JSON.stringify(change))
    )
    changesOf.set(resource, [...known, ...fresh])
  }
  const edited = [...changesOf].map(([resource, changes]) => read.edits(resource, changes))
  const problems = edited.flatMap(found =>
    'message' in found
      ? [`${file}:${found.line}: what has to be changed here ${found.message}`]
      : []
  )
  if (problems.length > 0) return { problems }
  const edits = edited.flatMap(found => ('message' in found ? [] : found))
  return { text: applyEdits(text, edits), warnings, pods }
}
