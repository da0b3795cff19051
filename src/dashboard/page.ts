/**
 * The page's document: shell and forms, the same for everybody. No scope, no route and no user is in
 * it; page.js fetches those with the JWT of whoever signs in.
 */
import { PAGE_PATH } from '../core/own-routes.ts'
import { html, type Html } from './html.ts'

export interface PageOptions {
  /** Of the product. */
  readonly version: string
  /** Where the password form is sent; empty: there is no form. */
  readonly loginPath: string
  /** The button for the demo account is there. */
  readonly hasDemo: boolean
}

export function renderPage({ version, loginPath, hasDemo }: PageOptions): Html {
  return html`<!doctype html>
    <html lang="en">
      <head>
        <meta charset="utf-8" />
        <meta name="viewport" content="width=device-width, initial-scale=1" />
        <meta name="color-scheme" content="light dark" />
        <title>API tokens</title>
        <link rel="stylesheet" href="${PAGE_PATH}/page.css" />
        <link rel="modulepreload" href="${PAGE_PATH}/allowed-rules.js" />
        <script type="module" src="${PAGE_PATH}/page.js"></script>
      </head>
      <body data-login-path="${loginPath}" data-demo="${hasDemo ? 'on' : 'off'}">
        <main>
          <h1>API tokens</h1>
          <noscript>
            <p>This page needs JavaScript. The same without it:</p>
            <pre>curl -H "Authorization: Bearer $JWT" /api/auth/cli-tokens</pre>
          </noscript>
        </main>
        <footer>Tollgate ${version}</footer>
      </body>
    </html> `
}
