/**
 * The page's document: shell, forms and templates, the same for everybody. No scope, no route and no
 * user is in it; page.js fetches those with the JWT of whoever signs in. Everything but the frame is
 * hidden until the script shows it.
 */
import { PAGE_ASSETS, PAGE_PATH } from '../core/own-routes.ts'
import { html, type Html } from './html.ts'
import { createView } from './views/create.ts'
import { dialogs } from './views/dialogs.ts'
import { listView } from './views/list.ts'
import { secretView } from './views/secret.ts'
import { signInView } from './views/sign-in.ts'

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
        <title>API tokens · Tollgate</title>
        <link rel="stylesheet" href="${PAGE_PATH}/page.css" />
        ${PAGE_ASSETS.filter(isImported).map(
          file => html`<link rel="modulepreload" href="${PAGE_PATH}/${file}" />`
        )}
        <script type="module" src="${PAGE_PATH}/page.js"></script>
      </head>
      <body>
        <a class="skip" href="#main">Skip to content</a>
        <header class="bar">
          <p class="brand"><span aria-hidden="true" class="mark"></span>Tollgate</p>
          <div id="who" class="who" hidden>
            <p><span class="muted wide-only">Signed in as </span><bdi id="who-name"></bdi></p>
            <button type="button" id="sign-out" class="quiet">Sign out</button>
          </div>
        </header>
        <main id="main" tabindex="-1">
          <h1>API tokens</h1>
          <p id="announcement" role="status" class="unseen"></p>
          <div id="session-note" class="note" role="status"></div>
          <noscript>
            <p>
              This page needs JavaScript. The same without it, with your user JWT in
              <code>$JWT</code>:
            </p>
            <pre>
curl -H "Authorization: Bearer $JWT" "$GATE_URL/api/auth/cli-tokens"
curl -X POST -H "Authorization: Bearer $JWT" -H "Content-Type: application/json" \\
  -d '{"name":"ci"}' "$GATE_URL/api/auth/cli-tokens"</pre>
          </noscript>
          ${signInView(loginPath, hasDemo)} ${listView} ${createView} ${secretView}
        </main>
        <footer><p class="muted">Tollgate ${version}</p></footer>
        ${dialogs}
      </body>
    </html> `
}

function isImported(file: string): boolean {
  return file.endsWith('.js') && file !== 'page.js'
}
