/** The form that makes a token, and beside it what the token would be able to call. */
import { html } from '../html.ts'

export const createView = html`<section id="create" aria-labelledby="create-title" hidden>
    <h2 id="create-title" tabindex="-1">Create token</h2>
    <p id="link-banner" class="note" role="status"></p>
    <div id="create-problem"></div>
    <div class="columns">
      <form id="create-form" method="post" novalidate class="form">
        <div class="field" data-field="name">
          <label for="name">Name</label>
          <p class="hint" id="name-hint">Say what uses it: “Nightly scan, GitHub Actions”.</p>
          <input id="name" autocomplete="off" required aria-describedby="name-hint name-count" />
          <p class="hint count" id="name-count" role="status"></p>
        </div>
        <fieldset class="field" data-field="scopes">
          <legend>Scopes</legend>
          <p class="hint" id="scope-count" role="status"></p>
          <div class="tools">
            <input
              type="search"
              id="scope-filter"
              aria-label="Search scopes"
              placeholder="Search"
              autocomplete="off"
            />
            <button type="button" id="scopes-read" class="small">Read only</button>
            <button type="button" id="scopes-none" class="small">None</button>
          </div>
          <div id="scopes" class="groups"></div>
          <p id="scopes-no-match" class="hint" hidden>No scope matches.</p>
        </fieldset>
        <fieldset class="field" data-field="repositories">
          <legend>Repository access</legend>
          <label class="check"
            ><input type="radio" name="access" id="access-all" value="all" checked /><span
              >All repositories <span class="hint">Present and future ones.</span></span
            ></label
          >
          <label class="check"
            ><input type="radio" name="access" id="access-some" value="some" /><span
              >Only selected repositories
              <span class="hint">Calls about any other one are refused.</span></span
            ></label
          >
          <div id="picker" class="picker stack" hidden>
            <ul id="chosen" class="chips" aria-label="Selected repositories"></ul>
            <label for="repository">Add a repository</label>
            <p class="hint" id="repository-hint" role="status"></p>
            <div class="combo">
              <input
                id="repository"
                autocomplete="off"
                autocapitalize="none"
                spellcheck="false"
                aria-describedby="repository-hint"
              />
              <ul id="options" role="listbox" aria-label="Repositories" hidden></ul>
            </div>
            <p class="hint" id="repository-count" role="status"></p>
          </div>
        </fieldset>
        <div class="field" data-field="expires">
          <label for="expires">Expires</label>
          <div class="inline">
            <select id="expires" aria-describedby="expires-words">
              <option value="7">In 7 days</option>
              <option value="30">In 30 days</option>
              <option value="90" selected>In 90 days</option>
              <option value="365">In 365 days</option>
              <option value="date">On a date</option>
              <option value="never">Never</option>
            </select>
            <input
              type="date"
              id="expires-date"
              aria-label="Date of expiry"
              aria-describedby="expires-words"
              hidden
            />
          </div>
          <p class="hint" id="expires-words" role="status"></p>
        </div>
        <div class="field" data-field="requireSignature">
          <label class="check"
            ><input type="checkbox" role="switch" id="signature" /><span
              >Require signed requests
              <span class="hint"
                >Calls without an HMAC signature are refused with this token.</span
              ></span
            ></label
          >
          <p class="hint indent" id="signature-how" hidden>
            Each call then carries <code>x-cli-signature</code>, <code>x-cli-timestamp</code> and
            <code>x-cli-nonce</code>. <code>tollgate sign</code> prints them; the README has samples
            for Node.js, Python, Go and bash.
          </p>
        </div>
        <p class="row end">
          <button class="primary" id="create-submit">Create token</button>
          <button type="button" id="create-cancel" class="quiet">Cancel</button>
        </p>
      </form>
      <aside class="panel preview stack" aria-labelledby="preview-title">
        <h3 id="preview-title">What this token can call</h3>
        <p id="preview-count" class="lead" role="status"></p>
        <input
          type="search"
          id="preview-filter"
          aria-label="Filter calls"
          placeholder="Filter by path"
          autocomplete="off"
        />
        <div id="preview" class="calls" tabindex="0" role="region" aria-label="Calls"></div>
      </aside>
    </div>
  </section>
  <template id="t-scope"
    ><label class="check scope"
      ><input type="checkbox" data-f="box" /><span
        ><span data-f="title"></span> <span class="risk" data-f="risk"></span>
        <code data-f="name" translate="no"></code><span class="hint" data-f="about"></span
        ><span class="hint by" data-f="by"></span></span></label
  ></template>
  <template id="t-call"
    ><li>
      <code translate="no"><b data-f="methods"></b> <span data-f="path"></span></code>
      <span class="hint" data-f="why"></span></li
  ></template>`
