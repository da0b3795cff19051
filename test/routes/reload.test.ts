import { setImmediate as nextTurn } from 'node:timers/promises'
import t from 'tap'
import type { LogFields } from '../../src/core/ports.ts'
import type { RouteTable } from '../../src/core/rule.ts'
import type { CheckedRoutes } from '../../src/routes/check-aside.ts'
import { finding } from '../../src/routes/findings.ts'
import { createReload } from '../../src/routes/reload.ts'
import type { Seen } from '../../src/routes/sources.ts'
import { fileWith, loadText } from '../support/routes.ts'

const MAIN = '/etc/gate/routes.yaml'
const TEAM = '/etc/gate/team.yaml'

/** A file of this many letters has as many rules; `!` in it is an error. */
function tableOf(text: string): RouteTable {
  const { table } = loadText(fileWith(...Array.from(text, (_, i) => `GET /r${i}: a:read`)))
  return { ...table, hash: digestOf(text) }
}

function digestOf(text: string): string {
  return Buffer.from(text).toString('hex').padStart(64, '0')
}

/** Files in memory and a clock that stands; a test moves both. */
function world(start: Readonly<Record<string, string>> = { [MAIN]: 'a' }) {
  const files = new Map(Object.entries(start))
  const timers = new Set<{ readonly atMs: number; readonly run: () => void }>()
  const logged: { level: string; message: string; fields: LogFields }[] = []
  const note =
    (level: string) =>
    (message: string, fields: LogFields = {}) =>
      void logged.push({ level, message, fields })
  const metrics = new Map<string, number>()
  const seen = { looks: 0, checks: 0, renewals: 0, adopted: [] as string[], isWatched: true }
  const fakes = {
    adopt: (table: RouteTable): void => void seen.adopted.push(table.hash),
    check: async (): Promise<CheckedRoutes> => verdict()
  }
  let nowMs = 0
  let hint: () => void = () => undefined
  const look = async (paths: Iterable<string>): Promise<Seen> => {
    seen.looks += 1
    return new Map(Array.from(paths, path => [path, contentOf(path)]))
  }
  const contentOf = (path: string) => {
    const text = files.get(path)
    return text === undefined ? 'ENOENT' : digestOf(text)
  }
  const verdict = (): CheckedRoutes => {
    seen.checks += 1
    const text = files.get(MAIN)
    const paths = text?.includes('+') ? [MAIN, TEAM] : [MAIN]
    const all = paths.map(path => files.get(path) ?? '').join('')
    const isWrong = text === undefined || all === '' || all.includes('!')
    return {
      findings: isWrong ? [finding('yaml', { file: MAIN, line: 3, col: 7 }, 'not a map')] : [],
      hash: digestOf(all),
      seen: new Map(paths.map(path => [path, contentOf(path)])),
      table: isWrong ? undefined : tableOf(all),
      changes: Promise.resolve({ widened: 1, narrowed: 0, moved: 0, unchanged: 1 })
    }
  }
  const reload = createReload({
    path: MAIN,
    loaded: { table: tableOf('a'), seen: new Map([[MAIN, digestOf('a')]]) },
    look,
    check: () => fakes.check(),
    watch: onHint => {
      hint = onHint
      return {
        renew: async () => void (seen.renewals += 1),
        close: () => void (seen.isWatched = false)
      }
    },
    schedule: (run, afterMs) => {
      const timer = { atMs: nowMs + afterMs, run }
      timers.add(timer)
      return () => timers.delete(timer)
    },
    adopt: table => fakes.adopt(table),
    observer: {
      count: (name, labels = {}) => {
        const key = [name, ...Object.values(labels)].join(' ')
        metrics.set(key, (metrics.get(key) ?? 0) + 1)
      },
      gauge: (name, value) => void metrics.set(name, value),
      measure: () => undefined
    },
    log: { info: note('info'), warn: note('warn'), error: note('error') }
  })
  return {
    files,
    logged,
    metrics,
    seen,
    fakes,
    verdict,
    reload,
    hint: () => hint(),
    /** Everything that is due in this time happens, in its order. */
    advance: async (ms: number) => {
      const endMs = nowMs + ms
      for (;;) {
        await nextTurn()
        const [next] = [...timers].toSorted((a, b) => a.atMs - b.atMs)
        if (!next || next.atMs > endMs) break
        timers.delete(next)
        nowMs = next.atMs
        next.run()
      }
      nowMs = endMs
    },
    isIdle: () => timers.size === 0
  }
}

t.test('a file that has not changed is looked at every 5 s and read no more', async t => {
  const { seen, advance } = world()
  await advance(4999)
  t.equal(seen.looks, 0)
  await advance(20_001)
  t.match(seen, { looks: 5, checks: 0, renewals: 6, adopted: [] })
})

t.test('a change is taken after 200 ms of quiet, at the next look or hint', async t => {
  const { files, seen, advance, hint, logged, metrics } = world()
  files.set(MAIN, 'bb')
  hint()
  await advance(199)
  t.same(seen.adopted, [])
  await advance(1)
  t.same(seen.adopted, [digestOf('bb')])
  t.match(logged, [
    {
      level: 'info',
      message: 'route file loaded',
      fields: { from: digestOf('a'), to: digestOf('bb'), rules: 2, rulesBefore: 1, widened: 1 }
    }
  ])
  t.equal(metrics.get('routes_reloads_total ok'), 1)
  t.equal(metrics.get('routes_last_reload_success'), 1)

  files.set(MAIN, 'ccc')
  await advance(5200)
  t.same(seen.adopted, [digestOf('bb'), digestOf('ccc')], 'without a hint as well')
  t.match(logged[1], { fields: { from: digestOf('bb'), rulesBefore: 2 } })
})

t.test('a file that is still being written is waited for', async t => {
  const { files, seen, advance, hint } = world()
  for (const text of ['b', 'bb', 'bbb']) {
    files.set(MAIN, text)
    hint()
    await advance(150)
  }
  t.equal(seen.checks, 0)
  await advance(400)
  t.same(seen.adopted, [digestOf('bbb')])
  t.equal(seen.checks, 1)
})

t.test(
  'a file that changes while it is read is read again before anything is put in force',
  async t => {
    const { files, seen, advance, hint, fakes, verdict } = world()
    fakes.check = async () => {
      const first = verdict()
      if (seen.checks === 1) files.set(MAIN, 'cc')
      return first
    }
    files.set(MAIN, 'b')
    hint()
    await advance(200)
    t.same(seen.adopted, [])
    await advance(200)
    t.same(seen.adopted, [digestOf('cc')])
  }
)

t.test('content that is back before it was read changes nothing', async t => {
  const { files, seen, advance, hint, fakes, verdict } = world()
  fakes.check = async () => {
    const read = verdict()
    files.set(MAIN, 'a')
    return read
  }
  files.set(MAIN, 'b')
  hint()
  await advance(4000)
  t.match(seen, { checks: 1, adopted: [] })
})

t.test('whatever is wrong, the last good table stays, and what is wrong is told once', async t => {
  const { files, seen, advance, logged, metrics } = world()
  const spoil: Readonly<Record<string, string | undefined>> = {
    broken: 'b!',
    empty: '',
    missing: undefined
  }
  for (const [what, text] of Object.entries(spoil)) {
    if (text === undefined) files.delete(MAIN)
    else files.set(MAIN, text)
    await advance(15_000)
    t.same(seen.adopted, [], what)
    t.equal(metrics.get('routes_last_reload_success'), 0, what)
  }
  t.equal(metrics.get('routes_reloads_total error'), 3)
  t.equal(seen.checks, 3, 'the same content is not read again')
  t.match(logged, [
    {
      level: 'error',
      message: `route file refused (${digestOf('b!').slice(0, 12)}), change 1`,
      fields: {
        inForce: digestOf('a'),
        refused: digestOf('b!'),
        errors: 1,
        findings: [`${MAIN}:3:7 yaml not a map`]
      }
    },
    { level: 'error', fields: { refused: digestOf('') } },
    {
      level: 'error',
      message: 'route file refused (ENOENT), change 3',
      fields: { refused: undefined }
    }
  ])
  files.set(MAIN, 'dd')
  await advance(1200)
  t.same(seen.adopted, [digestOf('dd')], 'while it is refused, every second')
  t.equal(metrics.get('routes_last_reload_success'), 1)
})

t.test('an include counts like the file, also one that is not there yet', async t => {
  const { files, seen, advance } = world()
  files.set(MAIN, 'a+!')
  await advance(5200)
  t.match(seen, { checks: 1, adopted: [] })
  files.set(MAIN, 'a+')
  files.set(TEAM, '!')
  await advance(1200)
  t.match(seen, { checks: 2, adopted: [] })
  files.set(TEAM, 'b')
  await advance(1200)
  t.same(seen.adopted, [digestOf('a+b')])
})

t.test('on request the file is read at once, changed or not', async t => {
  const { seen, advance, reload } = world()
  reload.now()
  await advance(200)
  t.match(seen, { checks: 1, adopted: [digestOf('a')] })
})

t.test('what fails without the file being wrong is tried again', async t => {
  const { files, seen, advance, fakes, logged, metrics, verdict } = world()
  const cause = new Error('the certificate cannot be read')
  const adopt = fakes.adopt
  fakes.adopt = () => {
    throw cause
  }
  files.set(MAIN, 'b')
  await advance(5200)
  t.match(logged, [{ level: 'error', message: 'route file could not be put in force' }])
  t.equal(logged[0]?.fields['cause'], cause)
  t.equal(metrics.get('routes_last_reload_success'), 0)
  fakes.adopt = adopt
  fakes.check = async () => {
    fakes.check = async () => verdict()
    throw cause
  }
  await advance(5200)
  t.equal(logged.length, 2)
  await advance(5200)
  t.same(seen.adopted, [digestOf('b')])
  t.equal(metrics.get('routes_last_reload_success'), 1)
})

t.test('what is asked for while a file is read is done after it, once', async t => {
  const { files, seen, advance, hint, fakes, verdict } = world()
  const gate = Promise.withResolvers<void>()
  fakes.check = async () => {
    const read = verdict()
    await gate.promise
    return read
  }
  files.set(MAIN, 'b')
  hint()
  await advance(200)
  files.set(MAIN, 'b')
  hint()
  hint()
  await advance(300)
  gate.resolve()
  await advance(300)
  t.match(seen, { checks: 1, adopted: [digestOf('b')] })
})

t.test('after the stop nothing is put in force and nothing is told', async t => {
  const stopped = world()
  const gate = Promise.withResolvers<void>()
  stopped.fakes.check = async () => {
    const read = stopped.verdict()
    await gate.promise
    return read
  }
  stopped.files.set(MAIN, 'b')
  stopped.hint()
  await stopped.advance(200)
  stopped.reload.stop()
  gate.resolve()
  await stopped.advance(60_000)
  t.match(stopped.seen, { adopted: [], isWatched: false })
  t.same(stopped.logged, [])
  t.ok(stopped.isIdle())

  const aborted = world()
  aborted.fakes.check = () => {
    aborted.reload.stop()
    return Promise.reject(new Error('aborted'))
  }
  aborted.files.set(MAIN, 'b')
  await aborted.advance(60_000)
  t.same(aborted.logged, [])
  aborted.hint()
  await aborted.advance(1000)
  t.equal(aborted.seen.checks, 0)
})
