import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import t, { type Test } from 'tap'
import { EmbeddedInUse, lockFolder } from '../../src/embedded/folder-lock.ts'

const SOURCE = join(import.meta.dirname, '../../src/embedded/folder-lock.ts')

/** A process that tries to hold the folder until its input ends; says `held` or what it was told. */
async function holder(t: Test, folder: string): Promise<{ child: ChildProcess; said: string }> {
  const program = `
    import { lockFolder } from ${JSON.stringify(SOURCE)}
    try {
      await lockFolder(${JSON.stringify(folder)})
      console.log('held')
      process.stdin.resume()
    } catch (error) {
      console.log(error.message)
    }`
  const child = spawn(process.execPath, ['--input-type=module-typescript', '-e', program], {
    stdio: ['pipe', 'pipe', 'inherit']
  })
  t.teardown(() => child.kill('SIGKILL'))
  const [said] = await once(child.stdout, 'data')
  return { child, said: String(said).trim() }
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit')
  child.kill('SIGKILL')
  await exited
}

const fileIn = (folder: string) => join(folder, 'postgres.lock')

t.test('a folder has one holder at a time, in one process too', async t => {
  const folder = join(t.testdir(), 'new', 'folder')
  const release = await lockFolder(folder)
  await t.rejects(lockFolder(folder), EmbeddedInUse)
  await t.rejects(lockFolder(folder), { message: new RegExp(`process ${process.pid}: stop that`) })
  release?.()
  t.notOk(existsSync(fileIn(folder)))
  const again = await lockFolder(folder)
  t.type(again, 'function')
  again?.()
})

t.test('what another process holds is refused, and taken over once that one is gone', async t => {
  const folder = t.testdir()
  const { child, said } = await holder(t, folder)
  t.equal(said, 'held')
  await t.rejects(lockFolder(folder), { message: new RegExp(`in use by process ${child.pid}:`) })
  await kill(child)
  t.ok(existsSync(fileIn(folder)), 'left behind')
  const release = await lockFolder(folder)
  t.type(release, 'function')
  release?.()
})

t.test('another process with the same number is not the holder', async t => {
  const folder = t.testdir()
  for (const text of [`${process.pid} 1 x\n`, `${process.ppid} 1 x\n`]) {
    writeFileSync(fileIn(folder), text)
    const release = await lockFolder(folder)
    t.type(release, 'function', text)
    release?.()
  }
})

t.test('a file that nobody finished holds nothing', async t => {
  const folder = t.testdir()
  for (const text of ['', '\n', '0 0 x\n', 'nonsense']) {
    writeFileSync(fileIn(folder), text)
    const release = await lockFolder(folder)
    t.type(release, 'function', JSON.stringify(text))
    release?.()
  }
})

t.test('of many that find a lock left behind, one takes it over', async t => {
  const folder = t.testdir()
  writeFileSync(fileIn(folder), '0 0 x\n')
  const holders = await Promise.all([1, 2, 3, 4].map(() => holder(t, folder)))
  const winners = holders.filter(({ said }) => said === 'held')
  t.equal(winners.length, 1)
  t.match(readFileSync(fileIn(folder), 'utf8'), `${winners[0]?.child.pid} `)
  for (const { said } of holders) {
    t.match(
      said,
      /^(?:held$|the embedded database in .+\/ is in use by process \d+: stop that one)/
    )
  }
})

t.test('a folder that cannot be made or written is no error', async t => {
  const folder = t.testdir({ file: '' })
  t.equal(await lockFolder(join(folder, 'file')), undefined)
  t.equal(await lockFolder(join(folder, 'file', 'below')), undefined)
  // Root may write everywhere.
  if (process.getuid?.() === 0) return
  chmodSync(folder, 0o500)
  t.equal(await lockFolder(folder), undefined)
})
