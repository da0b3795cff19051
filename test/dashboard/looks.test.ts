/**
 * Each state of the token page, light and dark, wide and narrow: nothing that axe-core objects to,
 * nothing wider than the window. With SCREENSHOTS=FOLDER the states are kept as pictures, for people.
 */
import { mkdirSync } from 'node:fs'
import { join } from 'node:path'
import type { Page } from 'playwright-core'
import t, { type Test } from 'tap'
import { findBarriers } from '../support/browser.ts'
import { effort } from '../support/effort.ts'
import { call, createToken, userJwt } from '../support/gate.ts'
import { EMAIL, findCutOff, openStage, pageTest, signInAs } from './support/stage.ts'

const FOLDER = process.env['SCREENSHOTS']
const SCOPES = ['repos:read', 'scans:read', 'scans:trigger', 'drifts:read', 'runners:manage']

const stage = await openStage(t)

async function look(t: Test, page: Page, name: string): Promise<void> {
  t.same(await findBarriers(page), [], `axe: ${name}`)
  t.same(await findCutOff(page), [], `fits: ${name}`)
  if (FOLDER === undefined) return
  mkdirSync(FOLDER, { recursive: true })
  const isDialog = await page.locator('dialog[open]').count()
  const path = join(FOLDER, `${name.replaceAll(' ', '-')}.png`)
  await page.screenshot({ path, fullPage: isDialog === 0 })
}

const LOOKS = [
  ['light', 1280],
  ['dark', 320],
  ['light', 320],
  ['dark', 1280]
] as const

for (const [colorScheme, width] of LOOKS.slice(0, effort(2, 4))) {
  const kind = `${colorScheme} ${width}`
  pageTest(t, stage, `every state, ${kind}`, async (t, { gate, database }, visit) => {
    const sub = kind.replace(' ', '-')
    const seen = await visit({ colorScheme, viewport: { width, height: 860 } })
    const { page, button, field, text } = seen
    const see = (name: string) => look(t, page, `${name} ${kind}`)
    await see('sign-in')
    await button('Sign in').click()
    await text('Enter your email and your password.').waitFor()
    await page.getByText('Paste a JWT', { exact: true }).click()
    await see('sign-in refused')
    await signInAs(seen, { sub, email: EMAIL }, false)
    await text('No tokens yet').waitFor()
    await see('empty')

    await button('Create token').click()
    await see('create')
    await button('None').click()
    await button('Create token').click()
    await see('create errors')
    await field('Name').fill('Nightly drift scan')
    await button('Read only').click()
    await field(/^Handle drifts/).check()
    await field(/^Only selected/).check()
    await field(/^Require signed/).check()
    await page.getByRole('combobox', { name: 'Add a repository' }).press('ArrowDown')
    await page.getByRole('option', { name: 'acme/network' }).waitFor()
    await see('create repositories')
    await page.getByRole('option', { name: 'acme/network' }).click()
    await button('Create token').click()
    await page.getByRole('heading', { name: /^Copy your token/ }).waitFor()
    await see('secret')
    await button('Done').click()
    await see('secret not copied')
    await button('Leave without it').click()

    const jwt = await userJwt({ sub })
    const make = (body: Readonly<Record<string, unknown>>) => createToken(gate, body, jwt)
    await make({ name: 'Release pipeline', scopes: SCOPES, expiresInDays: 3 })
    await make({ name: 'أداة الفحص الليلي', repositories: ['shop-production', 'network-core'] })
    await make({ name: 'W'.repeat(100), requireSignature: true, expiresInDays: 365 })
    const old = await make({ name: 'Old laptop', scopes: ['guardrails:write'] })
    await call(`${gate.url}/api/auth/cli-tokens/${old.id}`, { method: 'DELETE', bearer: jwt })
    const used = `INSERT INTO tg_last_use SELECT id, now() - interval '12 minutes' FROM tg_token WHERE name = $1 AND user_id = $2`
    await database.sql(used, ['Release pipeline', sub])
    await button('Refresh').click()
    await button('Revoke Release pipeline').waitFor()
    await see('list')
    await field('Show revoked and expired').check()
    await page.locator('#rows tr', { hasText: 'Old laptop' }).waitFor()
    await page.getByText('+2 more').first().click()
    await see('list with inactive ones')
    await button('Rotate Release pipeline').click()
    await field('The old token ends').selectOption('After another number of hours')
    await button('Rotate').click()
    await text('Enter a whole number of hours from 1 to 720.').waitFor()
    await see('rotate')
    await button('Cancel').click()
    await button('Revoke Release pipeline').click()
    await see('revoke')
    await field('Type the token’s name to go on').fill('Release pipeline')
    await button('Revoke').click()
    await page.getByText(/: Revoked\. /).waitFor()
    await see('receipt')
    await seen.context.setOffline(true)
    await button('Refresh').click()
    await text('No connection.').waitFor()
    await see('offline')
    await seen.context.setOffline(false)
  })
}

pageTest(
  t,
  stage,
  '300 tokens, at each width, in large text and in wide text',
  async (t, { database }, visit) => {
    const sub = 'many'
    await database.sql(
      `INSERT INTO tg_token (digest, preview, user_id, name, scopes, created_at, expires_at)
     SELECT sha256(i::text::bytea), 'ci_AbCd…wXyZ', $1, 'Token ' || i, $2, now() - i * interval '1 day', now() + i * interval '5 days'
     FROM generate_series(1, 300) AS i`,
      [sub, SCOPES]
    )
    const seen = await visit()
    const { page, field, button, text } = seen
    await signInAs(seen, { sub })
    await page.locator('#rows tr').nth(299).waitFor()
    const fits = async (name: string) => t.same(await findCutOff(page), [], name)
    for (const width of [320, 768, 1280, ...(effort(0, 1) ? [1056, 1920] : [])]) {
      await page.setViewportSize({ width, height: 800 })
      await fits(`${width} px`)
    }
    const devtools = await seen.context.newCDPSession(page)
    await devtools.send('Page.setFontSizes', { fontSizes: { standard: 32, fixed: 26 } })
    await fits('200 % text')
    await page.setViewportSize({ width: 640, height: 800 })
    await fits('200 % text, 640 px')
    await devtools.send('Page.setFontSizes', { fontSizes: { standard: 16, fixed: 13 } })
    // What WCAG 1.4.12 lets people set.
    await page.evaluate(
      `(() => { const style = new CSSStyleSheet()
      style.replaceSync('* { line-height: 1.5 !important; letter-spacing: 0.12em !important; word-spacing: 0.16em !important }')
      document.adoptedStyleSheets = [style] })()`
    )
    for (const width of [320, 1280]) {
      await page.setViewportSize({ width, height: 800 })
      await fits(`wide text, ${width} px`)
    }

    const first = () => page.locator('#rows th bdi').first().textContent()
    t.equal(await first(), 'Token 1', 'newest first')
    await button(/^Created/).click()
    t.equal(await first(), 'Token 300')
    t.equal(await page.locator('[data-sort=createdAt]').getAttribute('aria-sort'), 'ascending')
    await button(/^Expires/).click()
    t.equal(await first(), 'Token 1')
    t.equal(await page.locator('[data-sort=createdAt]').getAttribute('aria-sort'), null)
    await text('Expires in 5 days').waitFor()
    await text('Unused for 300 days').first().waitFor()
    await field('Filter').fill('token 29')
    t.equal(await page.locator('#rows tr').count(), 11)
    await field('Filter').fill('manage runners')
    t.equal(await page.locator('#rows tr').count(), 300, 'by the title of a scope')
    await field('Filter').fill('no such')
    await text('No token matches the filter.').waitFor()
  }
)
