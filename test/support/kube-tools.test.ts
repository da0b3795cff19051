import { execFileSync } from 'node:child_process'
import t from 'tap'
import { findKubeTool, type KubeToolName } from './kube-tools.ts'

const VERSIONS: Readonly<Record<KubeToolName, readonly [readonly string[], RegExp]>> = {
  helm4: [['version', '--short'], /^v4\./],
  helm3: [['version', '--short'], /^v3\./],
  kubectl: [['version', '--client'], /Client Version: v1\.3[3-9]/]
}

for (const name of ['helm4', 'helm3', 'kubectl'] as const) {
  t.test(`${name} is what the tests believe they run`, async t => {
    const tool = await findKubeTool(name)
    if ('reason' in tool) return t.plan(0, tool.reason)
    const [words, version] = VERSIONS[name]
    t.match(execFileSync(tool.path, [...words], { encoding: 'utf8' }), version)
  })
}
