/** The token page in a browser: the whole way, by mouse and by keyboard, and each way to sign in. */
import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import t from 'tap'
import { call, userJwt } from '../support/gate.ts'
import { EMAIL, openStage, pageTest, signIn, signInAs, type Visit } from './support/stage.ts'

const run = promisify(execFile)
const stage = await openStage(t)

/** Runs a line as it is shown; gives the status. */
async function paste(line: string): Promise<string> {
  const { stdout } = await run('bash', ['-c', line.replace('curl -i', 'curl -sS -i')])
  return /^HTTP\/1\.1 (\d+)/.exec(stdout)?.[1] ?? stdout
}

async function use(url: string, token: string, path = '/api/scans/dashboard'): Promise<number> {
  return (await call(url + path, { bearer: token })).status
}

/** From another page: this one's policy forbids reading it. */
async function readClipboard({ context }: Visit, url: string): Promise<string> {
  const other = await context.newPage()
  await other.goto(`${url}/no-such-path`)
  const text = await other.evaluate<string>('navigator.clipboard.readText()')
  await other.close()
  return text
}

async function readSecret({ page }: Visit): Promise<string> {
  await page.getByRole('heading', { name: /^Copy your token now/ }).waitFor()
  return page.getByLabel('Token', { exact: true }).inputValue()
}

pageTest(
  t,
  stage,
  'from signing in to a receipt, and the token does what was said',
  async (t, stage, visit) => {
    const { gate } = stage
    const seen = await visit({ permissions: ['clipboard-read', 'clipboard-write'] })
    const { page, button, field, text } = seen
    await signIn(seen)
    await button('Create token').click()
    await field('Name').fill('Nightly')
    await button('None').click()
    await field(/^Read scans/).check()
    await field(/^Run scans/).check()
    await field(/^Only selected/).check()
    await page.getByRole('combobox', { name: 'Add a repository' }).fill('network')
    await page.getByRole('option', { name: 'acme/network' }).click()
    await button('Create token').click()

    const first = await readSecret(seen)
    t.match(first, /^ci_\w{36}$/)
    t.equal(page.url(), `${gate.url}/settings/api-tokens`, 'nothing of it in the address')
    await button('Copy').first().click()
    await text('Copied.').waitFor()
    t.equal(await readClipboard(seen, gate.url), first)
    const line = (await page.locator('#try').textContent()) ?? ''
    t.match(line, first)
    t.equal(await paste(line), '200', 'the shown curl')
    const trigger = '/api/scans/trigger/'
    const post = (id: string) =>
      call(gate.url + trigger + id, { method: 'POST', bearer: first }).then(({ status }) => status)
    t.equal(await post('network-core'), 200)
    t.equal(await post('shop-production'), 403, 'another repository')
    t.equal(await use(gate.url, first, '/api/drifts'), 403, 'another scope')
    t.notMatch((await page.locator('#workflow').textContent()) ?? '', first)
    await button('Done').click()
    t.equal(await seen.focused('Nightly'), 'Nightly', 'the focus is on the new row')
    t.notMatch(await page.content(), first, 'the secret is gone from the page')

    await button('Rotate Nightly').click()
    await field('The old token ends').selectOption('In 1 hour')
    await button('Rotate').click()
    const second = await readSecret(seen)
    await text(/The old token works until/).waitFor()
    t.not(second, first)
    t.same([await use(gate.url, first), await use(gate.url, second)], [200, 200])
    await button('Copy').first().click()
    await button('Done').click()

    // The one before is still good for an hour, and stands in the list, too.
    const rowOf = (token: string) =>
      page.getByRole('row').filter({ hasText: `${token.slice(0, 7)}…${token.slice(-4)}` })
    await rowOf(second).getByRole('button', { name: 'Rotate Nightly' }).click()
    await field('The old token ends').selectOption('Now')
    await button('Rotate').click()
    const third = await readSecret(seen)
    t.same([await use(gate.url, second), await use(gate.url, third)], [401, 200])
    await button('Done').click()
    await text('You have not copied the token').waitFor()
    await button('Go back').click()
    t.equal(await readSecret(seen), third, 'asked first')
    await button('Done').click()
    await button('Leave without it').click()

    await rowOf(third).getByRole('button', { name: 'Revoke Nightly' }).click()
    t.equal(await seen.focused('revoke-cancel'), 'revoke-cancel')
    const dialog = page.getByRole('dialog')
    const typed = field('Type the token’s name to go on')
    if (await typed.isVisible()) {
      t.ok(await button('Revoke').isDisabled())
      await typed.fill('Nightly')
    }
    const answered = page.waitForResponse(response => response.request().method() === 'DELETE')
    await button('Revoke').click()
    const answer = await answered
    const { barrier } = await answer.json()
    const receipt = page.getByRole('region', { name: 'Receipts' })
    await receipt.getByText(/^Nightly \(ci_/).waitFor()
    t.same(barrier.replicas, 1)
    t.match(
      (await receipt.textContent()) ?? '',
      `Revoked. ${barrier.acknowledged} of 1 replica confirmed in ${barrier.waitedMs} ms. No replica accepts this token any more.`
    )
    t.match(
      (await receipt.textContent()) ?? '',
      answer.request().headers()['x-request-id'] ?? 'none'
    )
    await dialog.waitFor({ state: 'hidden' })
    t.equal(await use(gate.url, third), 401)
    await receipt.getByRole('button', { name: 'Dismiss' }).click()
    t.equal(await receipt.textContent(), '')
  }
)

pageTest(t, stage, 'each answer of a login has its words', async (t, stage, visit) => {
  const seen = await visit()
  const { field, button, page, text } = seen
  const { answers } = stage
  const good = answers.get('POST /api/auth/login')
  const rows = [
    [200, { next: 'mfa' }, 'Your account needs another step. Sign in there, then paste your JWT.'],
    [401, { message: 'Wrong <b>password</b>' }, 'Wrong <b>password</b>'],
    [401, {}, 'Email or password is wrong.'],
    [400, { message: 7 }, 'Email or password is wrong.'],
    [429, { retryAfter: 300 }, 'Too many attempts. Try again in 5 minutes.'],
    [404, {}, 'Signing in by password is not set up here. Paste a JWT.'],
    [403, { code: 'ROUTE_DENIED' }, 'Signing in by password is not set up here. Paste a JWT.'],
    [500, 'oops', 'The service does not answer. Nothing is wrong with your password.'],
    [
      200,
      { token: 'no.jwt.really' },
      'The gate does not accept this sign-in: it is not valid here, or it has ended.'
    ]
  ] as const
  for (const [status, body, words] of rows) {
    answers.set('POST /api/auth/login', { status, body })
    await field('Email').fill(EMAIL)
    await field('Password').fill('anything')
    await button('Sign in').click()
    await text(words).waitFor()
    t.equal(await seen.focused('Sign in'), 'Sign in', `${status}: ${words}`)
    await field('Password').fill('another')
  }
  await field('Email').fill('')
  await button('Sign in').click()
  await text('Enter your email and your password.').waitFor()
  if (good) answers.set('POST /api/auth/login', good)

  await page.getByText('Paste a JWT', { exact: true }).click()
  const offer = async (jwt: string) => {
    await field('JWT').fill(jwt)
    await button('Continue with this JWT').click()
  }
  await offer(`ci_${'a'.repeat(36)}`)
  await text('This is an API token. Managing tokens needs your own sign-in.').waitFor()
  await offer('nonsense')
  await text('This is no JWT. It has three parts with dots between them.').waitFor()
  await offer(await userJwt({}, 'x'.repeat(32)))
  await text(/^The gate does not accept this sign-in/).waitFor()
  await field('JWT').fill('')
  await field(/^Keep me signed in/).check()
  await signInAs(seen, {}, false)
  t.equal(await page.evaluate('sessionStorage.length'), 1)
  await page.reload()
  await button('Sign out').waitFor()
  await button('Sign out').click()
  await text('You are signed out.').waitFor()
  t.equal(await page.evaluate('sessionStorage.length'), 0)
  await page.reload()
  await button('Sign in').waitFor()
})

/** All text of the page, shown or not, and what its fields hold. */
const HELD = `[
  document.body.textContent,
  ...Array.from(document.querySelectorAll('input, textarea'), each => each.value)
].join()`

pageTest(
  t,
  stage,
  'a token that nobody copied is not left without being asked, and then it is nowhere',
  async (t, stage, visit) => {
    const seen = await visit({ query: '/' })
    const { page, button, field, text } = seen
    await signIn(seen)
    await button('Create token').click()
    await field('Name').fill('Left behind')
    await button('Create token').click()
    const token = await readSecret(seen)
    await page.evaluate(`navigator.clipboard.writeText = () => Promise.reject(new Error('no'))`)
    await button('Copy').first().click()
    await text(/^Press (?:Ctrl|⌘)\+?C to copy/).waitFor()
    for (const leave of ['Done', 'Sign out']) {
      await button(leave).click()
      await page.getByRole('heading', { name: 'You have not copied the token' }).waitFor()
      await button('Go back').click()
      t.equal(await readSecret(seen), token, `${leave}: it is still there`)
    }
    await button('Sign out').click()
    await button('Leave without it').click()
    t.equal(await seen.focused('sign-in-title'), 'sign-in-title')
    t.notMatch(await page.evaluate<string>(HELD), token)
    t.equal(await use(stage.gate.url, token), 200, 'it works on until somebody revokes it')
  }
)

pageTest(t, stage, 'the whole way by keyboard alone', async (t, { gate, answers }, visit) => {
  const jwt = await userJwt({ sub: 'keys', email: EMAIL })
  answers.set('POST /api/auth/login', { body: { token: jwt } })
  const seen = await visit()
  const { page } = seen
  const { keyboard } = page
  const press = async (...keys: readonly string[]) => {
    for (const key of keys) await keyboard.press(key)
  }
  const on = async (wanted: string) =>
    t.equal(await seen.focused(wanted), wanted, `focus: ${wanted}`)
  /** Tab, as often as it takes; a focus that nobody can see would end the way. */
  const tabTo = async (wanted: string, key = 'Tab') => {
    for (let i = 0; i < 60 && (await seen.focusedNow()) !== wanted; i++) await press(key)
    await on(wanted)
    t.ok(await page.evaluate(IS_SEEN), `${wanted} shows that it has the focus`)
  }
  await page.locator('#email').waitFor()
  await press('Tab')
  await on('Skip to content')
  await tabTo('email')
  await keyboard.type(EMAIL)
  await tabTo('password')
  await keyboard.type('anything')
  await press('Enter')
  await on('list-title')
  await tabTo('open-create')
  await press('Enter')
  await on('create-title')
  await tabTo('name')
  await keyboard.type('Keys')
  await tabTo('access-all')
  await press('ArrowDown')
  await on('access-some')
  await tabTo('repository')
  await page.getByRole('combobox', { name: 'Add a repository' }).waitFor()
  await keyboard.type('shop')
  await press('ArrowDown', 'ArrowDown')
  t.equal(
    await page.getByRole('option', { selected: true }).first().textContent(),
    'acme/shop staging'
  )
  await press('Escape')
  t.equal(await page.locator('#options').isVisible(), false)
  await press('ArrowUp', 'Enter')
  await on('repository')
  t.equal(await page.locator('#chosen li').count(), 1)
  await press('Shift+Tab')
  await on('×')
  await press('Enter')
  await on('repository')
  await keyboard.type('shop-production')
  await press('Enter')
  await tabTo('signature')
  await press('Space')
  t.ok(await page.locator('#signature').isChecked())
  await tabTo('create-submit')
  await press('Enter')
  await on('secret-title')
  await press('Escape')
  t.match(await page.locator('#secret-text').inputValue(), /^ci_/, 'Escape does not close it')
  await tabTo('secret-copy')
  await press('Enter')
  await tabTo('secret-done')
  await press('Enter')
  if (await page.locator('#leave').isVisible()) await page.locator('#leave-go').press('Enter')
  await on('Keys')
  await tabTo('Rotate Keys')
  await press('Enter')
  await on('grace')
  await press('Escape')
  await on('Rotate Keys')
  await press('Tab')
  await on('Revoke Keys')
  await press('Enter')
  await on('revoke-cancel')
  await press('Escape')
  await on('Revoke Keys')
  await press('Enter', 'Tab', 'Enter')
  await page.getByText(/: Revoked\. /).waitFor()
  await on('list-title')
  const { json } = await call(`${gate.url}/api/auth/cli-tokens`, { bearer: jwt })
  t.same(json, { tokens: [] })
})

/** The outline of what has the focus, or of the box around it. */
const IS_SEEN = `(() => {
  const { outlineStyle, outlineWidth } = getComputedStyle(document.activeElement)
  return outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2
})()`
