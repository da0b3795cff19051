/** Signing in: one box with each way, moved into a dialog when a session ends over the page. */
import { html, type Html } from '../html.ts'

export function signInView(loginPath: string, hasDemo: boolean): Html {
  return html`<section id="sign-in" class="narrow" aria-labelledby="sign-in-title" hidden>
      <div id="sign-in-box" class="panel stack">
        <h2 id="sign-in-title" tabindex="-1">Sign in</h2>
        <p id="sign-in-why" class="muted">
          Make, rotate and revoke the tokens with which CI jobs call the API in your name.
        </p>
        <div id="sign-in-problem"></div>
        ${hasDemo ? demo : undefined} ${loginPath ? passwordForm(loginPath) : undefined}
        <details id="paste" class="more" ${loginPath ? undefined : open}>
          <summary>Paste a JWT</summary>
          <form id="jwt-form" method="post" class="stack" novalidate>
            <label for="jwt">JWT</label>
            <p class="hint" id="jwt-hint">
              For accounts that sign in elsewhere, with GitHub or SAML for example.
            </p>
            <textarea
              id="jwt"
              rows="4"
              autocomplete="off"
              autocapitalize="none"
              spellcheck="false"
              translate="no"
              aria-describedby="jwt-hint"
            ></textarea>
            <button>Continue with this JWT</button>
          </form>
        </details>
        <label class="check"
          ><input type="checkbox" id="keep" /><span
            >Keep me signed in in this tab
            <span class="hint">Until you close it. Otherwise a reload signs you out.</span></span
          ></label
        >
      </div>
    </section>
    <dialog id="sign-in-dialog" aria-labelledby="sign-in-title">
      <button type="button" id="sign-in-later" class="quiet">Not now</button>
    </dialog>`
}

const open = html`open`

const demo = html`<div class="stack demo">
  <p>
    This gate runs on its embedded parts, so there is a demo account. Its tokens work until the
    folder <code>.tollgate</code> is removed.
  </p>
  <button type="button" id="demo" class="primary">Use the demo account</button>
</div>`

function passwordForm(loginPath: string): Html {
  return html`<form
    id="password-form"
    method="post"
    class="stack"
    data-path="${loginPath}"
    novalidate
  >
    <div class="field">
      <label for="email">Email</label>
      <input id="email" name="email" type="email" autocomplete="username" required />
    </div>
    <div class="field">
      <label for="password">Password</label>
      <input
        id="password"
        name="password"
        type="password"
        autocomplete="current-password"
        required
      />
    </div>
    <button class="primary">Sign in</button>
  </form>`
}
