/**
 * Kubernetes' own schemas, two ways, since each alone is blind in one eye. The validators find wrong
 * types, missing fields and values outside their enums, but take unknown keys; the compiler, given each
 * object as a literal, names a misspelt key.
 */
import { execFile } from 'node:child_process'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { DaemonSet } from 'kubernetes-models/apps/v1/DaemonSet'
import { Deployment } from 'kubernetes-models/apps/v1/Deployment'
import { ReplicaSet } from 'kubernetes-models/apps/v1/ReplicaSet'
import { StatefulSet } from 'kubernetes-models/apps/v1/StatefulSet'
import { HorizontalPodAutoscaler } from 'kubernetes-models/autoscaling/v2/HorizontalPodAutoscaler'
import { Job } from 'kubernetes-models/batch/v1/Job'
import { Ingress } from 'kubernetes-models/networking.k8s.io/v1/Ingress'
import { NetworkPolicy } from 'kubernetes-models/networking.k8s.io/v1/NetworkPolicy'
import { PodDisruptionBudget } from 'kubernetes-models/policy/v1/PodDisruptionBudget'
import { ConfigMap } from 'kubernetes-models/v1/ConfigMap'
import { Pod } from 'kubernetes-models/v1/Pod'
import { Service } from 'kubernetes-models/v1/Service'
import { ServiceAccount } from 'kubernetes-models/v1/ServiceAccount'
import { PodMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PodMonitor'
import { PrometheusRule } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/PrometheusRule'
import { ServiceMonitor } from '@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1/ServiceMonitor'
import { idOf } from '../support/helm.ts'
import { unhooked } from '../support/unhooked.ts'

type Manifest = Readonly<Record<string, unknown>>

const CORE = 'kubernetes-models'
const OPERATOR = '@kubernetes-models/prometheus-operator'

interface Kind {
  readonly from: string
  readonly model: new () => { validate(): void }
}

const KINDS: Readonly<Record<string, Kind>> = {
  'apps/v1 DaemonSet': { from: CORE, model: DaemonSet },
  'apps/v1 Deployment': { from: CORE, model: Deployment },
  'apps/v1 ReplicaSet': { from: CORE, model: ReplicaSet },
  'apps/v1 StatefulSet': { from: CORE, model: StatefulSet },
  'autoscaling/v2 HorizontalPodAutoscaler': { from: CORE, model: HorizontalPodAutoscaler },
  'batch/v1 Job': { from: CORE, model: Job },
  'networking.k8s.io/v1 Ingress': { from: CORE, model: Ingress },
  'networking.k8s.io/v1 NetworkPolicy': { from: CORE, model: NetworkPolicy },
  'policy/v1 PodDisruptionBudget': { from: CORE, model: PodDisruptionBudget },
  'v1 ConfigMap': { from: CORE, model: ConfigMap },
  'v1 Pod': { from: CORE, model: Pod },
  'v1 Service': { from: CORE, model: Service },
  'v1 ServiceAccount': { from: CORE, model: ServiceAccount },
  'monitoring.coreos.com/v1 PodMonitor': { from: OPERATOR, model: PodMonitor },
  'monitoring.coreos.com/v1 PrometheusRule': { from: OPERATOR, model: PrometheusRule },
  'monitoring.coreos.com/v1 ServiceMonitor': { from: OPERATOR, model: ServiceMonitor }
}

function kindOf(manifest: Manifest): readonly [string, Kind | undefined] {
  const name = `${String(manifest['apiVersion'])} ${String(manifest['kind'])}`
  return [name, KINDS[name]]
}

/** What the validators say of it; undefined where it is valid. */
export function invalidity(manifest: Manifest): string | undefined {
  const [name, kind] = kindOf(manifest)
  if (!kind) return `${name} has no schema here`
  const model = Object.assign(new kind.model(), manifest)
  try {
    model.validate()
    return undefined
  } catch (thrown) {
    return `${idOf({ ...manifest })}: ${String(thrown)}`
  }
}

const ROOT = join(import.meta.dirname, '../..')

/** What the compiler says of all of them, a line an error; empty where every key is known. */
export async function misspellings(manifests: readonly Manifest[]): Promise<string> {
  // Below node_modules, so that packages are found; nothing of it is kept.
  const cache = join(ROOT, 'node_modules/.cache')
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, 'manifests-'))
  try {
    writeFileSync(join(folder, 'manifests.ts'), sourceOf(manifests))
    writeFileSync(join(folder, 'tsconfig.json'), JSON.stringify(COMPILER))
    const compiler = join(ROOT, 'node_modules/.bin/tsc')
    return await new Promise(resolve => {
      const args = ['-p', folder, '--pretty', 'false']
      execFile(...unhooked(compiler, args), (_error, stdout, stderr) =>
        resolve(`${stdout}${stderr}`.trim())
      )
    })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const COMPILER = {
  compilerOptions: {
    target: 'es2025',
    module: 'nodenext',
    strict: true,
    noEmit: true,
    skipLibCheck: true,
    types: []
  },
  files: ['manifests.ts']
}

function sourceOf(manifests: readonly Manifest[]): string {
  const used = new Map<string, string>()
  const literals = manifests.map(manifest => {
    const [name, kind] = kindOf(manifest)
    if (!kind) throw new Error(`${name} has no type here`)
    const [version = '', word = ''] = name.split(' ')
    used.set(`I${word}`, `${kind.from}/${version}/${word}`)
    return `void (${JSON.stringify(manifest, null, 1)} satisfies I${word})`
  })
  const imports = [...used].map(([type, path]) => `import type { ${type} } from '${path}'`)
  return [...imports, ...literals, ''].join('\n')
}
