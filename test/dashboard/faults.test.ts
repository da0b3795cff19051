/** The token page while a part is away: what is certain is said, what is not is said too. */
import { SignJWT } from 'jose'
import t from 'tap'
import { findBarriers } from '../support/browser.ts'
import { startFaultProxy } from '../support/fault-proxy.ts'
import { call, createToken, eventually, JWT_SECRET, userJwt } from '../support/gate.ts'
import { EMAIL, openStage, pageTest, signIn, signInAs, type Visit } from './support/stage.ts'

const stage = await openStage(t, { gates: 3 })

const listOf = async (url: string, sub: string) => {
  const { json } = await call(`${url}/api/auth/cli-tokens`, { bearer: await userJwt({ sub }) })
  return Array.isArray(json['tokens']) ? json['tokens'].map(({ name }) => name) : []
}

const NOT_CERTAIN = 'It is not certain that the token is revoked. Repeating is safe.'
const NOT_KNOWN =
  'It is not known whether the token was made. Look at the list before you try again.'

async function fillIn({ button, field }: Visit, name: string): Promise<void> {
  await button('Create token').click()
  await field('Name').fill(name)
  await button('Create token').click()
}

pageTest(
  t,
  stage,
  'one of three replicas stands still: the receipt says what was waited for',
  async (t, { gate, gates }, visit) => {
    const sub = 'replicas'
    const jwt = await userJwt({ sub })
    const { token } = await createToken(gate, { name: 'first' }, jwt)
    await createToken(gate, { name: 'second' }, jwt)
    const seen = await visit()
    const { button, text, page } = seen
    await signInAs(seen, { sub })
    const receipts = page.getByRole('region', { name: 'Receipts' })
    await button('Revoke first').click()
    await button('Revoke').click()
    await receipts
      .getByText(/: Revoked\. 3 of 3 replicas confirmed in \d+ ms\. No replica/)
      .waitFor()
    t.equal(await seen.focused('second'), 'second', 'the row that took its place')
    for (const { url } of gates) {
      t.equal((await call(`${url}/api/scans/dashboard`, { bearer: token })).status, 401)
    }

    const [, , third] = gates
    third?.signal('SIGSTOP')
    try {
      await button('Revoke second').click()
      await button('Revoke').click()
      await text('A replica does not answer; waiting for its lease to end.').waitFor()
      await page.keyboard.press('Escape')
      t.ok(await page.getByRole('dialog').isVisible(), 'it does not close while it runs')
      await receipts
        .getByText(
          /Revoked\. 2 of 3 replicas confirmed; the third one’s permission to use its cache ended after [\d,]+ ms\. No replica accepts/
        )
        .waitFor()
      t.equal(await seen.focused('list-title'), 'list-title', 'there is no row left')
    } finally {
      third?.signal('SIGCONT')
    }
  }
)

pageTest(
  t,
  stage,
  'Postgres away: at the list, at making and at revoking',
  async (t, { gate, gates, postgres }, visit) => {
    const sub = 'database'
    await createToken(gate, { name: 'kept' }, await userJwt({ sub }))
    const seen = await visit()
    const { button, text, page } = seen
    await signInAs(seen, { sub })
    await button('Revoke kept').waitFor()
    await postgres.stop()
    await button('Refresh').click()
    await text('The gate cannot reach its database. Your tokens are as they were.').waitFor()
    await text(/^Not newer than/).waitFor()
    t.ok(await button('Revoke kept').isVisible(), 'the old list stays')
    t.match(await page.locator('#list-problem code').textContent(), /^[0-9a-f]{32}$/)
    t.same(await findBarriers(page), [])

    await button('Revoke kept').click()
    await button('Revoke').click()
    await text(NOT_CERTAIN).waitFor()
    t.same(await findBarriers(page), [])
    t.equal(await seen.focused('revoke-cancel'), 'revoke-cancel')
    await button('Cancel').click()
    t.equal(await page.locator('#rows .mark-warning').textContent(), 'uncertain')

    await fillIn(seen, 'lost?')
    await text(`The gate cannot reach its database. ${NOT_KNOWN}`).waitFor()
    t.equal(await page.locator('#name').inputValue(), 'lost?', 'what was typed stays')
    t.same(await findBarriers(page), [])
    await button('Cancel').click()

    await postgres.start()
    await eventually('the gates recover', async () => {
      const ready = await Promise.all(gates.map(({ adminUrl }) => call(`${adminUrl}/readyz`)))
      return ready.every(({ status }) => status === 200)
    })
    await button('Revoke kept').click()
    await button('Revoke').click()
    await page.getByText(/: Revoked\. 3 of 3 replicas/).waitFor()
    await text('No tokens yet').waitFor()
    t.same(await listOf(gate.url, sub), [])
  }
)

pageTest(
  t,
  stage,
  'the connection breaks while a token is made and while it is revoked',
  async (t, { gate, database }, visit) => {
    const sub = 'connection'
    const link = await startFaultProxy(t, gate.port)
    const seen = await visit({ url: `http://127.0.0.1:${link.port}` })
    const { button, text, page } = seen
    await signInAs(seen, { sub })
    link.cutAfter(0)
    await fillIn(seen, 'half-way')
    await text(NOT_KNOWN).waitFor()
    await link.pass()
    await eventually('it was made', async () => (await listOf(gate.url, sub)).includes('half-way'))
    await button('Cancel').click()
    await button('Refresh').click()
    await button('Revoke half-way').click()
    link.cutAfter(0)
    await button('Revoke').click()
    await text(NOT_CERTAIN).waitFor()
    await link.pass()
    await button('Try again').click()
    await page.getByText(/: Revoked\. 3 of 3 replicas/).waitFor()
    t.same(await listOf(gate.url, sub), [])

    await createToken(gate, { name: 'gone' }, await userJwt({ sub }))
    await button('Refresh').click()
    await button('Revoke gone').click()
    await database.sql("DELETE FROM tg_token WHERE name = 'gone'")
    await button('Revoke').click()
    await text('This token is already gone.').waitFor()
    await text('No tokens yet').waitFor()

    await seen.context.setOffline(true)
    await fillIn(seen, 'without a network')
    await text(NOT_KNOWN).waitFor()
    await button('Cancel').click()
    await text('No connection.').waitFor()
    await seen.context.setOffline(false)
    await button('Try again').click()
    await text('No tokens yet').waitFor()
  }
)

/** A JWT that ends in so many seconds. */
const shortJwt = (claims: Readonly<Record<string, unknown>>, seconds: number) =>
  new SignJWT(claims)
    .setProtectedHeader({ alg: 'HS256' })
    .setIssuedAt()
    .setExpirationTime(Math.floor(Date.now() / 1000) + seconds)
    .sign(new TextEncoder().encode(JWT_SECRET))

pageTest(
  t,
  stage,
  'a session that ends keeps what was typed, for the same user',
  async (t, { gate, answers }, visit) => {
    const sub = 'user-1'
    const claims = { sub, email: EMAIL }
    const seen = await visit()
    const { button, text, page, field } = seen
    await page.getByText('Paste a JWT', { exact: true }).click()
    await field('JWT').fill(await shortJwt(claims, 4))
    await button('Continue with this JWT').click()
    await text('Your sign-in ends in a minute.').waitFor()
    await button('Create token').click()
    await field('Name').fill('half typed')
    await field(/^Handle drifts/).check()
    const dialog = page.getByRole('dialog', { name: 'Sign in' })
    await dialog.waitFor()
    await text('Your sign-in has ended. What you typed is still here.').waitFor()
    t.equal(await seen.focused('sign-in-title'), 'sign-in-title')
    t.same(await findBarriers(page), [])
    await page.keyboard.press('Escape')
    await dialog.waitFor({ state: 'hidden' })
    await button('Create token').click()
    await dialog.waitFor()
    t.same(await listOf(gate.url, sub), [], 'nothing was sent in nobody’s name')
    await signIn(seen)
    await dialog.waitFor({ state: 'hidden' })
    t.equal(await field('Name').inputValue(), 'half typed')
    t.ok(await field(/^Handle drifts/).isChecked())
    t.same(await listOf(gate.url, sub), [], 'nothing is repeated by itself')
    await button('Create token').click()
    await page.getByRole('heading', { name: /^Copy your token/ }).waitFor()
    await button('Done').click()
    await button('Leave without it').click()

    // The gate's own word counts, whatever the clock here says; and another user finds a fresh form.
    await button('Create token').click()
    await field('Name').fill('not for you')
    await page.clock.setFixedTime(Date.now() + 7_200_000)
    await dialog.waitFor()
    answers.set('POST /api/auth/login', { body: { token: await userJwt({ sub: 'user-2' }) } })
    await page.clock.setFixedTime(Date.now())
    await signIn(seen)
    await dialog.waitFor({ state: 'hidden' })
    t.equal(await page.locator('#who-name').textContent(), 'user-2')
    t.equal(await field('Name').inputValue(), '')
    answers.set('POST /api/auth/login', { body: { token: await userJwt({ email: EMAIL }) } })
  }
)
