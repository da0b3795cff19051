/**
 * The token page in a real browser, on a real gate, in front of an upstream with a login and a list of
 * repositories, whose answers each test can switch. After each test the page is held to what it
 * promises at all times: nothing the policy refuses, no cookie, no secret anywhere but where it belongs.
 */
import type { ServerResponse } from 'node:http'
import { setTimeout as sleep } from 'node:timers/promises'
import type { Browser, BrowserContextOptions, Locator, Page } from 'playwright-core'
import type { Test } from 'tap'
import { NO_BROWSER, openBrowser, openPage, type WatchedPage } from '../../support/browser.ts'
import { type Fleet, type FleetOptions, startFleet } from '../../support/fleet.ts'
import { eventually, type GateProcess, userJwt } from '../../support/gate.ts'
import type { Recorded } from '../../support/upstream.ts'

export const EMAIL = 'ada@shop.example'
export const PASSWORD = 'correct horse'
export const PAGE = '/settings/api-tokens'

interface UpstreamAnswer {
  readonly status?: number
  readonly type?: string
  readonly delayMs?: number
  /** Text as it is, anything else as JSON; a function is asked with the target. */
  readonly body: unknown
}

export interface Stage extends Fleet {
  readonly gate: GateProcess
  readonly browser: Browser
  /** By method and path; what is not there answers 200 and a little JSON. */
  readonly answers: Map<string, UpstreamAnswer>
}

export const REPOSITORIES = [
  { _id: 'shop-production', repository: { fullName: 'acme/shop' }, branch: 'main' },
  { _id: 'shop-staging', repository: { fullName: 'acme/shop' }, branch: 'staging' },
  { _id: 'network-core', repository: { fullName: 'acme/network' }, branch: 'main' }
]

/** Undefined where there is no browser. All of it ends with the test. */
export async function openStage(t: Test, options: FleetOptions = {}): Promise<Stage | undefined> {
  if (NO_BROWSER) return undefined
  const answers = new Map<string, UpstreamAnswer>()
  const respond = (request: Recorded, response: ServerResponse) =>
    void reply(answers, request, response)
  const [fleet, browser] = await Promise.all([
    startFleet(t, { ...options, upstream: { respond } }),
    openBrowser(t)
  ])
  const [gate] = fleet.gates
  if (!gate) throw new Error('no gate')
  answers.set('POST /api/auth/login', { body: { token: await userJwt({ email: EMAIL }) } })
  answers.set('GET /api/repo-configs', { body: { configs: REPOSITORIES } })
  return { ...fleet, gate, browser, answers }
}

async function reply(
  answers: ReadonlyMap<string, UpstreamAnswer>,
  { method, target }: Recorded,
  response: ServerResponse
): Promise<void> {
  const found = answers.get(`${method} ${target.replace(/\?.*/, '')}`)
  const {
    status = 200,
    type = 'application/json',
    delayMs = 0,
    body
  } = found ?? { body: { ok: true } }
  if (delayMs > 0) await sleep(delayMs)
  const content: unknown = typeof body === 'function' ? body(target) : body
  // A login may set cookies; the page must not take them.
  response.writeHead(status, { 'content-type': type, 'set-cookie': 'session=upstream' })
  response.end(typeof content === 'string' ? content : JSON.stringify(content))
}

export interface Visit extends WatchedPage {
  /** Elements by their role and name, as people and screen readers find them. */
  readonly button: (name: string | RegExp) => Locator
  readonly field: (name: string | RegExp) => Locator
  readonly text: (text: string | RegExp) => Locator
  /** Of the element that has the focus: its id, else its text. Waits a while for the wanted one. */
  readonly focused: (wanted: string) => Promise<string>
  readonly focusedNow: () => Promise<string>
}

export interface VisitOptions extends BrowserContextOptions {
  /** Of another gate than the stage's. */
  readonly url?: string
  /** Behind the page's path. */
  readonly query?: string
}

/** A test of the page; skipped, and told so, where there is no browser. */
export function pageTest(
  t: Test,
  stage: Stage | undefined,
  name: string,
  run: (t: Test, stage: Stage, visit: (options?: VisitOptions) => Promise<Visit>) => Promise<void>
): void {
  void t.test(name, { skip: NO_BROWSER }, async t => {
    if (!stage) throw new Error('no stage')
    const visits: Visit[] = []
    const logStart = stage.gate.output().length
    const complaints = () => visits.flatMap(visit => visit.complaints)
    const work = run(t, stage, async ({ url = stage.gate.url, query = '', ...options } = {}) => {
      const watched = await openPage(stage.browser, options)
      const { page } = watched
      page.setDefaultTimeout(8000)
      const visit: Visit = {
        ...watched,
        button: name => page.getByRole('button', { name, ...exactly(name) }),
        field: name => page.getByLabel(name, exactly(name)),
        text: text => page.getByText(text),
        focused: wanted => waitForFocus(page, wanted),
        focusedNow: () => page.evaluate<string>(FOCUSED)
      }
      visits.push(visit)
      await page.goto(`${url}${PAGE}${query}`)
      return visit
    })
    await work.catch((error: unknown) => {
      t.comment(complaints().join('\n'))
      throw error
    })
    for (const visit of visits) await holdToPromises(t, visit)
    t.notMatch(stage.gate.output().slice(logStart), SECRET, 'the gate logs no secret')
    await Promise.all(visits.map(({ context }) => context.close()))
  })
}

function exactly(name: string | RegExp): { readonly exact?: boolean } {
  return typeof name === 'string' ? { exact: true } : {}
}

const FOCUSED = `(({ id, textContent }) => id || textContent.trim())(document.activeElement)`

async function waitForFocus(page: Page, wanted: string): Promise<string> {
  const now = () => page.evaluate<string>(FOCUSED)
  await eventually('the focus', async () => (await now()) === wanted, 8000).catch(() => undefined)
  return now()
}

/** A whole `ci_` token, or a JWT. */
const SECRET = /\bci_[0-9A-Za-z]{36}|\beyJ[\w-]+\.[\w-]+\.[\w-]+/

interface Traces {
  readonly local: string
  readonly session: readonly string[]
  readonly title: string
  readonly cookies: string
}

const TRACES = `({
  local: JSON.stringify(localStorage),
  session: Object.keys(sessionStorage),
  title: document.title,
  cookies: document.cookie
})`

async function holdToPromises(t: Test, { page, context, complaints, sent, printed }: Visit) {
  const { local, session, title, cookies } = await page.evaluate<Traces>(TRACES)
  t.same(complaints, [], 'the page does nothing that the policy refuses')
  t.equal(local, '{}', 'localStorage is empty')
  t.same(
    session.filter(key => key !== 'tollgate.jwt'),
    [],
    'sessionStorage holds the JWT or nothing'
  )
  t.same([cookies, await context.cookies()], ['', []], 'there is no cookie')
  const { origin } = new URL(page.url())
  for (const { method, url, headers, body } of sent) {
    const { authorization = '', ...others } = headers
    const isOdd =
      !url.startsWith(`${origin}/`) ||
      SECRET.test(url) ||
      SECRET.test(body) ||
      SECRET.test(JSON.stringify(others)) ||
      authorization.includes('ci_') ||
      'cookie' in headers
    if (isOdd) t.fail(`${method} ${url} carries what it should not, or goes elsewhere`)
  }
  t.notMatch(
    [page.url(), title, ...printed].join('\n'),
    SECRET,
    'no secret in address, title, console'
  )
}

/** Signs in by password. */
export async function signIn({ field, button, page }: Visit): Promise<void> {
  await field('Email').fill(EMAIL)
  await field('Password').fill(PASSWORD)
  await button('Sign in').click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

/** Signs in with a JWT of this user. */
export async function signInAs(
  { page, field, button }: Visit,
  claims: Readonly<Record<string, unknown>> = {},
  isClosed = true
): Promise<void> {
  if (isClosed) await page.getByText('Paste a JWT', { exact: true }).click()
  await field('JWT').fill(await userJwt(claims))
  await button('Continue with this JWT').click()
  await page.getByRole('button', { name: 'Sign out' }).waitFor()
}

/** What is wider than the window, or cut off in its own box; none on a good page. */
export function findCutOff(page: Page): Promise<readonly string[]> {
  return page.evaluate<readonly string[]>(CUT_OFF)
}

const CUT_OFF = `(() => {
  const width = document.documentElement.clientWidth
  const all = [...document.querySelectorAll('body *')].filter(element => element.checkVisibility())
  const bad = all.filter(element => {
    if (element.closest('.unseen, .skip, option, select')) return false
    const { left, right } = element.getBoundingClientRect()
    const isHidden = getComputedStyle(element).overflowX !== 'visible'
    const isCut = isHidden && element.scrollWidth > element.clientWidth + 1
    return right > width + 1 || left < -1 || (isCut && element.localName !== 'input')
  })
  const wide = document.documentElement.scrollWidth > width ? ['the page scrolls sideways'] : []
  return [...wide, ...bad.map(({ outerHTML }) => outerHTML.slice(0, 120))]
})()`
