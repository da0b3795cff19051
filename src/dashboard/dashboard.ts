/**
 * The page's own routes: document, script and style for anybody, the catalogue for users, and a session
 * of the demo user for whoever sits at this machine. Loaded only where the page is on.
 */
import { readFileSync } from 'node:fs'
import { type Denial, deny, Fault } from '../core/decision.ts'
import type { Head } from '../core/head.ts'
import { type OwnAnswer, type OwnRequest, type OwnRoutes, PAGE_ASSETS } from '../core/own-routes.ts'
import type { RouteTable } from '../core/rule.ts'
import { catalogueText } from './catalogue.ts'
import { chooseRepresentation, type Content, hasValidator, prepareContent } from './content.ts'
import { PAGE_HEADERS } from './headers.ts'
import { renderPage } from './page.ts'
import { headerOf, isAtThisMachine } from './this-machine.ts'

export interface DashboardOptions {
  /** Of the product. */
  readonly version: string
  /** Where the page sends the password form; empty: no form. */
  readonly loginPath: string
  /** The table in force, asked for each time. */
  readonly routes: () => RouteTable
  /** A JWT of the demo user. Undefined: there is none, or others than this machine can connect. */
  readonly signDemoJwt: (() => Promise<string>) | undefined
}

/** Answers the `page.*` routes; any other name is our mistake. Throws where a file is missing. */
export function createDashboard(options: DashboardOptions): OwnRoutes {
  const { version, loginPath } = options
  const render = (hasDemo: boolean) =>
    prepareContent(renderPage({ version, loginPath, hasDemo }).markup)
  const pages = { plain: render(false), demo: options.signDemoJwt ? render(true) : undefined }
  const assets = new Map(PAGE_ASSETS.map(file => [file, readAsset(file)]))
  const serving = { ...options, pages, assets }
  return { handle: request => handle(request, serving) }
}

interface Serving extends DashboardOptions {
  readonly pages: { readonly plain: Content; readonly demo: Content | undefined }
  readonly assets: ReadonlyMap<string, Asset>
}

interface Asset {
  readonly type: string
  readonly content: Content
}

function readAsset(file: string): Asset {
  const text = readFileSync(new URL(`assets/${file}`, import.meta.url), 'utf8')
  const type = file.endsWith('.css') ? 'text/css' : 'text/javascript'
  return { type: `${type}; charset=utf-8`, content: prepareContent(text) }
}

async function handle(request: OwnRequest, serving: Serving): Promise<OwnAnswer | Denial> {
  const { pages, assets, routes, signDemoJwt } = serving
  const { head, name, target } = request
  const hasDemo = isAtThisMachine(request)
  switch (name) {
    case 'page.document':
      return document((hasDemo && pages.demo) || pages.plain, head)
    case 'page.asset': {
      const asset = assets.get(target.segments.at(-1) ?? '')
      return asset ? answerAsset(asset, head) : deny('ROUTE_DENIED')
    }
    case 'page.catalogue':
      return json(catalogueText(routes()))
    case 'page.demo-session':
      if (!hasDemo || !signDemoJwt) return deny('ROUTE_DENIED')
      return json(JSON.stringify({ token: await signDemoJwt() }))
    case 'tokens.create':
    case 'tokens.list':
    case 'tokens.revoke':
    case 'tokens.rotate':
      throw new Fault('INTERNAL_ERROR')
  }
}

/** Never kept: it differs by the Host that it was asked for. */
function document(content: Content, head: Head): OwnAnswer {
  const { bytes, coding } = chooseRepresentation(content, headerOf(head, 'accept-encoding'))
  return answer(bytes, {
    'content-type': 'text/html; charset=utf-8',
    'cache-control': 'no-store',
    ...codingHeaders(coding)
  })
}

/** Kept, and asked about each time: so a new version is never mixed with an old one. */
function answerAsset({ type, content }: Asset, head: Head): OwnAnswer {
  const chosen = chooseRepresentation(content, headerOf(head, 'accept-encoding'))
  const { bytes, coding, etag } = chosen
  const validity = { etag, 'cache-control': 'no-cache', vary: 'Accept-Encoding' }
  if (hasValidator(headerOf(head, 'if-none-match'), chosen)) {
    return { ...answer('', validity), status: 304 }
  }
  return answer(bytes, { 'content-type': type, ...validity, ...codingHeaders(coding) })
}

function codingHeaders(coding: string): Readonly<Record<string, string>> {
  return {
    vary: 'Accept-Encoding',
    ...(coding === 'identity' ? {} : { 'content-encoding': coding })
  }
}

function json(body: string): OwnAnswer {
  return answer(body, { 'content-type': 'application/json', 'cache-control': 'no-store' })
}

function answer(body: string | Uint8Array, headers: Readonly<Record<string, string>>): OwnAnswer {
  return { status: 200, headers: { ...PAGE_HEADERS, ...headers }, body, code: 'OK' }
}
