/**
 * A real browser for tests: Debian's Chromium, driven by playwright-core. Each page is watched from
 * its first byte: what its content security policy refuses, what its scripts throw and what they
 * print as an error fails the test. The policy is never switched off, that would hide the first.
 */
import { existsSync } from 'node:fs'
import axe from 'axe-core'
import {
  type Browser,
  type BrowserContext,
  type BrowserContextOptions,
  chromium,
  type Page
} from 'playwright-core'
import type { Test } from 'tap'

const CHROMIUM = process.env['CHROMIUM_PATH'] ?? '/usr/bin/chromium'

/** Why browser tests are skipped here; false: they are not. CI has to install what it needs. */
export const NO_BROWSER: string | false =
  existsSync(CHROMIUM) || process.env['CI']
    ? false
    : 'no browser here: install the Debian package chromium, or set CHROMIUM_PATH'

/** Ends with the test. */
export function openBrowser(t: Pick<Test, 'teardown'>): Promise<Browser> {
  const browser = chromium.launch({
    executablePath: CHROMIUM,
    // Chromium's sandbox refuses to run as root, which tests in containers often are.
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : []
  })
  t.teardown(async () => (await browser).close())
  return browser
}

export interface WatchedPage {
  readonly page: Page
  readonly context: BrowserContext
  /** What a good page never does, in words; empty is good. */
  readonly complaints: readonly string[]
  /** Everything that left the browser. */
  readonly sent: readonly SentRequest[]
  /** All that was printed to the console. */
  readonly printed: readonly string[]
}

export interface SentRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** A failed request is told as an error too; whether it is one, the test knows. */
const NETWORK_NOTE = /^Failed to load resource: /

/** Runs in the page, before its own scripts. */
const REPORT_VIOLATIONS = `addEventListener('securitypolicyviolation', event => {
  console.error('refused by the policy: ' + event.violatedDirective + ' ' + event.blockedURI)
})`

/** A page in a context of its own: no cookie, no storage, no cache of another one. */
export async function openPage(
  browser: Browser,
  options: BrowserContextOptions = {}
): Promise<WatchedPage> {
  const context = await browser.newContext({ reducedMotion: 'reduce', ...options })
  const page = await context.newPage()
  await page.addInitScript(REPORT_VIOLATIONS)
  const complaints: string[] = []
  const sent: SentRequest[] = []
  const printed: string[] = []
  page.on('pageerror', error => complaints.push(`thrown: ${error.message}`))
  page.on('console', message => {
    printed.push(message.text())
    if (message.type() !== 'error' || NETWORK_NOTE.test(message.text())) return
    complaints.push(`printed: ${message.text()}`)
  })
  page.on('request', request => {
    sent.push({
      method: request.method(),
      url: request.url(),
      headers: request.headers(),
      body: request.postData() ?? ''
    })
  })
  return { page, context, complaints, sent, printed }
}

const AXE_TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice']

/** What axe-core objects to in the page as it stands: its rule, and where. */
export async function findBarriers(page: Page): Promise<readonly string[]> {
  if ((await page.evaluate('typeof axe')) === 'undefined') await page.evaluate(axe.source)
  return page.evaluate<readonly string[]>(
    `axe.run(document, { runOnly: ${JSON.stringify(AXE_TAGS)} }).then(({ violations }) =>
      violations.flatMap(({ id, nodes }) =>
        nodes.map(({ html, failureSummary }) => [id, html, failureSummary].join(' | '))))`
  )
}
