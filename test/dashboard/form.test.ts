/** The form of the token page: what it shows, takes, refuses and sends. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import * as fc from 'fast-check'
import t from 'tap'
import { effort } from '../support/effort.ts'
import { call, createToken, eventually, userJwt } from '../support/gate.ts'
import { signedHeaders } from '../support/signer.ts'
import {
  findCutOff,
  openStage,
  pageTest,
  signInAs,
  type Stage,
  type Visit
} from './support/stage.ts'

const MARKUP = '<img src=x onerror=alert(1)>'
const ROUTES = `version: 1
scopes:
  a:read: { title: '${MARKUP}', about: '"><script>alert(2)</script>', default: true }
  a:write: { title: Write a, risk: medium, implies: [a:read] }
  a:admin: { title: Administer a, risk: high, implies: [a:write] }
  b:read: { title: Read b }
routes:
  POST /api/auth/login: public
  GET /api/repo-configs: { scope: b:read, repo: upstream }
  GET /a: { scope: a:read, repo: none, why: '${MARKUP}' }
  GET /a/{repo}: { scope: a:read, repo: "{repo}" }
  POST /a: a:write
  DELETE /a: { scope: a:admin, repo: none, signature: required }
  GET /b: { scope: { any: [a:admin, b:read] }, repo: upstream }
  PUT /soft: { scope: b:read, repo: none, mode: report }
  GET /me: { scope: any-token, repo: none }
`
const CALLS = ['GET /api/repo-configs', 'GET /a', 'GET /a/{repo}', 'POST /a', 'DELETE /a']
const ALL_CALLS = [...CALLS, 'GET /b', 'PUT /soft', 'GET /me']
const SCOPES = {
  'a:read': MARKUP,
  'a:write': 'Write a',
  'a:admin': 'Administer a',
  'b:read': 'Read b'
}

const folder = mkdtempSync(join(tmpdir(), 'tollgate-page-'))
t.teardown(() => rmSync(folder, { recursive: true, force: true }))
writeFileSync(join(folder, 'routes.yaml'), ROUTES)
const stage = await openStage(t, { env: { ROUTES_FILE: join(folder, 'routes.yaml') } })

const boxOf = ({ page }: Visit, scope: string) =>
  page.locator('label.scope', { has: page.getByText(scope, { exact: true }) }).getByRole('checkbox')
const offered = ({ page }: Visit) =>
  page.getByRole('listbox', { name: 'Repositories' }).getByRole('option')
const countOf = async (url: string, sub: string) => {
  const { json } = await call(`${url}/api/auth/cli-tokens`, { bearer: await userJwt({ sub }) })
  return Array.isArray(json['tokens']) ? json['tokens'].length : -1
}

/** What the preview says, by its groups. */
async function readPreview({ page }: Visit): Promise<ReadonlyMap<string, string>> {
  const found = await page.evaluate<readonly (readonly [string, string])[]>(
    `[...document.querySelectorAll('#preview section')].flatMap(section =>
      [...section.querySelectorAll('code')].map(code => [code.textContent, section.className]))`
  )
  return new Map(found)
}

interface Wish {
  readonly scopes: readonly string[]
  readonly isLimited: boolean
  readonly requireSignature: boolean
}

/** Whether the gate serves a call of this token: unsigned, and signed. */
async function tryCall({ gate }: Stage, token: string, key: string, repository: string) {
  const [method = '', pattern = ''] = key.split(' ')
  const path = pattern.replace('{repo}', repository)
  const unsigned = await call(gate.url + path, { method, bearer: token })
  const headers = signedHeaders({ token, method, path })
  const signed = await call(gate.url + path, { method, bearer: token, headers })
  return [unsigned.status, signed.status]
}

pageTest(
  t,
  stage,
  'what the preview lists can be called, and nothing else',
  async (t, stage, visit) => {
    const seen = await visit()
    await signInAs(seen)
    await seen.button('Create token').click()
    // A gate that has just begun takes no signature that may have been used before it.
    const { token: early } = await createToken(stage.gate, { scopes: ['a:read'] })
    await eventually('signed calls pass', async () => {
      const statuses = await tryCall(stage, early, 'GET /a', 'r1')
      return statuses[1] === 200
    })
    const hold = async (wish: Wish) => {
      const { scopes, isLimited, requireSignature } = wish
      await seen.button('None').click()
      for (const scope of scopes) await boxOf(seen, scope).check({ force: true })
      await seen.field(isLimited ? /^Only selected/ : /^All repositories/).check()
      await seen.field(/^Require signed/).setChecked(requireSignature)
      const shown = await readPreview(seen)
      const listed = [...shown.values()].filter(group => group !== 'cannot').length
      t.equal(await seen.page.locator('#preview-count').textContent(), `${listed} of 8 rules`)
      const restriction = isLimited ? { repositories: ['r1'] } : {}
      const { token } = await createToken(stage.gate, { scopes, requireSignature, ...restriction })
      for (const key of ALL_CALLS) {
        const group = shown.get(key)
        const [unsigned, signed] = await tryCall(stage, token, key, 'r1')
        const isSigned = group === 'signed' || (group === 'chosen' && requireSignature)
        const refused = group === undefined || group === 'cannot'
        const expected = refused ? 403 : isSigned ? 401 : 200
        t.same(
          [unsigned, signed],
          [expected, refused ? 403 : 200],
          `${JSON.stringify(wish)} ${key}: ${group}`
        )
        if (group === 'chosen' && key.includes('{repo}')) {
          t.same(await tryCall(stage, token, key, 'r2'), [403, 403], 'another repository')
        }
      }
    }
    const wishes = fc.record({
      scopes: fc.subarray(Object.keys(SCOPES), { minLength: 1 }),
      isLimited: fc.boolean(),
      requireSignature: fc.boolean()
    })
    await hold({ scopes: ['a:admin'], isLimited: true, requireSignature: false })
    await fc.assert(fc.asyncProperty(wishes, hold), { numRuns: effort(3, 20), endOnFailure: true })
  }
)

pageTest(
  t,
  stage,
  'scopes: what comes with others, search, risk in words',
  async (t, _stage, visit) => {
    const seen = await visit()
    const { button, page, field, text } = seen
    await signInAs(seen)
    await button('Create token').click()
    t.ok(await boxOf(seen, 'a:read').isChecked(), 'marked as default')
    await button('None').click()
    await boxOf(seen, 'a:admin').check()
    t.ok(await boxOf(seen, 'a:read').isChecked())
    t.ok(await boxOf(seen, 'a:read').isDisabled())
    await text('Comes with a:write.').waitFor()
    await text('1 selected, 2 more come with them').waitFor()
    await boxOf(seen, 'a:admin').uncheck()
    t.notOk(await boxOf(seen, 'a:read').isChecked())
    await button('Read only').click()
    await text('2 selected').waitFor()
    t.ok(await boxOf(seen, 'b:read').isChecked())
    t.match(
      (await page.locator('label.scope', { hasText: 'Administer a' }).textContent()) ?? '',
      'high risk'
    )
    await field('Search scopes').fill('administer')
    t.equal(await page.locator('label.scope').filter({ visible: true }).count(), 1)
    await field('Search scopes').fill('nothing like it')
    await text('No scope matches.').waitFor()
    await field('Filter calls').fill('soft')
    t.equal((await readPreview(seen)).size, 1)
    await text('report mode').waitFor()
  }
)

pageTest(
  t,
  stage,
  'markup in names, scopes, rules and repositories is text',
  async (t, stage, visit) => {
    const { answers, gate } = stage
    const configs = [{ _id: 'r1', repository: { fullName: MARKUP }, branch: '"><b>x</b>' }]
    answers.set('GET /api/repo-configs', { body: { configs } })
    const sub = 'hostile'
    const jwt = await userJwt({ sub })
    const names = [MARKUP, '"><script>alert(3)</script>', 'أداة \u05d0 text', 'W'.repeat(100)]
    for (const name of names)
      await createToken(gate, { name, scopes: ['a:read'], repositories: ['r1'] }, jwt)
    const seen = await visit({ viewport: { width: 320, height: 640 } })
    const { page, button, field } = seen
    await signInAs(seen, { sub, email: MARKUP })
    await page.locator('#rows th bdi').first().waitFor()
    t.same((await page.locator('#rows th bdi').allTextContents()).toReversed(), names)
    await page.getByText('1 repository').first().click()
    await page.locator('#rows li bdi', { hasText: MARKUP }).first().waitFor()
    await page.getByRole('button', { name: `Revoke ${MARKUP}` }).click()
    t.equal(await page.locator('#revoke-name').textContent(), MARKUP)
    await page.keyboard.press('Escape')
    await button('Create token').click()
    await field(/^Only selected/).check()
    await page.getByRole('combobox', { name: 'Add a repository' }).click()
    await offered(seen).click()
    t.equal(await page.locator('#chosen bdi').textContent(), MARKUP)
    t.equal(await page.locator('#who-name').textContent(), MARKUP)
    t.equal(await page.evaluate('document.querySelectorAll("main img, main script").length'), 0)
    t.same(await findCutOff(page), [])
  }
)

pageTest(
  t,
  stage,
  'repositories: each shape of a list, and ids where there is none',
  async (t, stage, visit) => {
    const { answers } = stage
    const seen = await visit()
    const { page, button, field, text } = seen
    await field(/^Keep me signed in/).check()
    await signInAs(seen)
    const many = Array.from({ length: 250 }, (_, i) => ({ id: `id-${i}`, name: `Repository ${i}` }))
    const paged = (target: string) => {
      const query = new URLSearchParams(target.split('?')[1])
      const start = (Number(query.get('page') ?? 1) - 1) * 100
      return { data: many.slice(start, start + 100), pagination: { total: 250 } }
    }
    const offer = async (answer: Parameters<typeof answers.set>[1]) => {
      answers.set('GET /api/repo-configs', answer)
      await page.reload()
      await button('Create token').click()
      await field(/^Only selected/).check()
    }
    const lists = [
      [
        { configs: [{ _id: 'x1', repository: { fullName: 'acme/one' }, branch: 'main' }] },
        'acme/one main'
      ],
      [{ repositories: [{ id: 'x2', fullName: 'acme/two' }] }, 'acme/two'],
      [{ data: [{ id: 3, name: 'three' }] }, 'three'],
      [[{ _id: 'x4' }, { _id: 'no id' }, null, 'x'], 'x4']
    ] as const
    for (const [body, label] of lists) {
      await offer({ body })
      await page.getByRole('combobox', { name: 'Add a repository' }).click()
      t.same(await offered(seen).allTextContents(), [label])
    }
    await offer({ body: paged })
    await page.getByRole('combobox', { name: 'Add a repository' }).fill('Repository 249')
    t.equal(await offered(seen).count(), 1, 'the third page')

    const silent = effort(0, 1) === 1 ? [{ delayMs: 6000, body: [] }] : []
    const refusals = [
      { status: 403, body: { message: 'no' } },
      { status: 401, body: { message: 'no' } },
      { status: 500, body: 'oops' },
      { type: 'text/html', body: '<h1>Hello</h1>' },
      ...silent
    ]
    const NO_LIST = 'The list of repositories is not available. Enter repository configuration ids.'
    for (const answer of refusals) {
      await offer(answer)
      await text(NO_LIST).waitFor()
      t.equal(await page.getByRole('combobox').count(), 1, 'only the expiry is a combobox')
    }
    await field('Add a repository').fill('one-id')
    await page.keyboard.press('Enter')
    t.same(await page.locator('#chosen bdi').allTextContents(), ['one-id'])
    const ids = Array.from({ length: 28 }, (_, i) => `p-${i}`)
    await pasteInto(seen, ['bad/one', ...ids, 'bad two?'.replace(' ', '+')].join('\n'))
    await text('Not added, because this is no id: bad/one, bad+two?').waitFor()
    t.equal(await page.locator('#chosen li').count(), 29)
    await pasteInto(seen, Array.from({ length: 101 }, (_, i) => `q-${i}`).join(' '))
    await text('At most 100 repositories.').waitFor()
    t.equal(await page.locator('#chosen li').count(), 100)
    await text('100 of 100').waitFor()
    await button('Remove one-id').click()
    t.equal(await page.locator('#chosen li').count(), 99)
  }
)

async function pasteInto({ page }: Visit, text: string): Promise<void> {
  await page.locator('#repository').fill('')
  await page.evaluate(
    `(() => { const clipboardData = new DataTransfer(); clipboardData.setData('text', ${JSON.stringify(text)})
      document.getElementById('repository').dispatchEvent(new ClipboardEvent('paste', { clipboardData, cancelable: true })) })()`
  )
}

pageTest(
  t,
  stage,
  'a link fills the form, is named as such, and makes nothing',
  async (t, stage, visit) => {
    const { gate } = stage
    const sub = 'linked'
    const query =
      '?name=Deploy&scopes=a:write,nope&repositories=r1,bad%20id,r2&expires=30&signature=required'
    const seen = await visit({ query })
    await signInAs(seen, { sub })
    const { page, field, text, button } = seen
    await text('Filled in by a link. Check before you create.').waitFor()
    await text('Left out of it: scopes “nope”; repositories “bad id”.').waitFor()
    t.equal(await field('Name').inputValue(), 'Deploy')
    t.ok(await boxOf(seen, 'a:write').isChecked())
    t.notOk(await boxOf(seen, 'b:read').isChecked())
    t.equal(await page.locator('#chosen li').count(), 2)
    t.equal(await field('Expires').inputValue(), '30')
    t.ok(await field(/^Require signed/).isChecked())
    t.equal(await countOf(gate.url, sub), 0)
    await button('Cancel').click()
    t.notMatch(page.url(), /\?/)

    const hostile = `?name=a%00b&scopes=${encodeURIComponent(MARKUP)}&expires=99999&signature=maybe`
    const other = await visit({ query: hostile })
    await signInAs(other, { sub })
    await other.text(/^Left out of it|Left out of it:/).waitFor()
    t.match((await other.page.locator('#link-banner').textContent()) ?? '', MARKUP)
    t.same(
      [await other.field('Name').inputValue(), await other.field('Expires').inputValue()],
      ['', '90']
    )

    const { token } = await createToken(gate, { scopes: ['b:read'] })
    const refused = await call(`${gate.url}/a`, { bearer: token })
    const target = /<([^>]+)>; rel="help"/.exec(refused.headers.get('link') ?? '')?.[1] ?? ''
    t.match(target, /^\/settings\/api-tokens\?/)
    const third = await visit({ query: target.replace('/settings/api-tokens', '') })
    await signInAs(third, { sub })
    t.same(
      await Promise.all(
        ['a:read', 'b:read', 'a:write'].map(scope => boxOf(third, scope).isChecked())
      ),
      [true, true, false],
      'held and missing ones, no other'
    )
  }
)

pageTest(
  t,
  stage,
  'every wrong field is named beside it, and two clicks make one token',
  async (t, stage, visit) => {
    const { gate } = stage
    const sub = 'once'
    const seen = await visit()
    await signInAs(seen, { sub })
    const { page, field, text, button } = seen
    await button('Create your first token').click()
    await button('None').click()
    await field(/^Only selected/).check()
    await field('Expires').selectOption('On a date')
    await button('Create token').click()
    t.equal(await seen.focused('4 things are not right yet'), '4 things are not right yet')
    for (const [link, id] of [
      ['Name must be given', 'name'],
      ['Scopes must be one or more', 'scope-filter'],
      ['Repository access must be one or more', 'repository'],
      ['Expires must be a date', 'expires-date']
    ] as const) {
      await page.getByRole('link', { name: link }).click()
      t.equal(await seen.focused(id), id, link)
      t.equal(await page.locator(`#${id}`).getAttribute('aria-invalid'), 'true')
      const described = (await page.locator(`#${id}`).getAttribute('aria-describedby')) ?? ''
      t.equal(await page.locator(`#${described.split(' ').at(-1)}`).textContent(), link)
    }
    await field(/^All repositories/).check()
    await boxOf(seen, 'b:read').check()
    t.equal(
      await page.locator('#create-form .error').count(),
      2,
      'what is changed is not told any more'
    )
    await field('Date of expiry').fill('2001-01-01')
    await button('Create token').click()
    await page.getByRole('link', { name: 'Expires must be in the future' }).waitFor()
    await field('Expires').selectOption('Never')
    await text('Tokens without an end are found in old logs.').waitFor()
    // What only the gate knows comes back beside the field as well.
    await field('Name').fill('zero\u200bwidth')
    await button('Create token').click()
    await page.getByRole('link', { name: /^Name must be a string/ }).waitFor()
    t.equal(await countOf(gate.url, sub), 0)
    await field('Name').fill('x'.repeat(85))
    await text('85 of 100').waitFor()
    await button('Create token').dblclick()
    await page.getByRole('heading', { name: /^Copy your token/ }).waitFor()
    t.equal(await countOf(gate.url, sub), 1)

    // Leaving with the token uncopied asks first.
    const asked = page.waitForEvent('dialog')
    await page.close({ runBeforeUnload: true })
    const dialog = await asked
    t.equal(dialog.type(), 'beforeunload')
    await dialog.dismiss()
    await page.keyboard.press('Escape')
    t.match(await page.locator('#secret-text').inputValue(), /^ci_/, 'Escape does not close it')
    await page.evaluate("Object.defineProperty(navigator, 'clipboard', { value: undefined })")
    await button('Copy').first().click()
    await text('Press Ctrl+C to copy.').waitFor()
    t.match(await page.evaluate('getSelection().toString()'), /^ci_/)
    await page.keyboard.press('Control+C')
    await button('Done').click()

    await button('Create token').click()
    await field('Name').fill('by keyboard')
    await Promise.all([page.keyboard.press('Enter'), page.keyboard.press('Enter')])
    await page.getByRole('heading', { name: /^Copy your token/ }).waitFor()
    t.equal(await countOf(gate.url, sub), 2)
    await page.goBack()
    t.match(
      await page.locator('#secret-text').inputValue(),
      /^ci_/,
      'Back does not close it either'
    )
  }
)
