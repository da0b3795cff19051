/** The token's text, shown once, with what to do with it. */
import { html, type Html } from '../html.ts'

function snippet(id: string, title: string): Html {
  return html`<div class="snippet">
    <div class="row">
      <h3 id="${id}-title">${title}</h3>
      <button type="button" class="small" data-copy="${id}" aria-describedby="${id}-title">
        Copy
      </button>
    </div>
    <pre id="${id}" translate="no"></pre>
  </div>`
}

export const secretView = html`<section
  id="secret"
  aria-labelledby="secret-title"
  class="medium"
  hidden
>
  <div class="panel stack">
    <h2 id="secret-title" tabindex="-1">Copy your token now. It is not shown again.</h2>
    <p class="muted"><bdi id="secret-name"></bdi><span id="secret-facts"></span></p>
    <div class="secret-row">
      <textarea
        id="secret-text"
        rows="1"
        readonly
        autocomplete="off"
        spellcheck="false"
        translate="no"
        aria-label="Token"
      ></textarea>
      <button type="button" class="primary" id="secret-copy">Copy</button>
    </div>
    <p role="status" id="copied" class="copied"></p>
    ${snippet('try', 'Try it')} ${snippet('workflow', 'GitHub Actions')}
    <p class="hint">
      Store the token as the repository secret <code>CONTROLINFRA_TOKEN</code>: Settings, Secrets
      and variables, Actions. The step reads it from there.
    </p>
    <p class="row end"><button type="button" id="secret-done">Done</button></p>
  </div>
</section>`
