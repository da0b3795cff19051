/** Rotating, revoking, and leaving a token that nobody has copied. */
import { html } from '../html.ts'

export const dialogs = html`<dialog id="rotate" aria-labelledby="rotate-title">
    <form id="rotate-form" method="post" class="stack" novalidate>
      <h2 id="rotate-title">Rotate <bdi id="rotate-name"></bdi></h2>
      <p>
        You get a new token with the same name, rights and expiry. The old one goes on working for
        as long as you choose here, so that you can replace it where it is used.
      </p>
      <div class="field">
        <label for="grace">The old token ends</label>
        <select id="grace">
          <option value="0">Now</option>
          <option value="1">In 1 hour</option>
          <option value="24" selected>In 24 hours</option>
          <option value="168">In 7 days</option>
          <option value="other">After another number of hours</option>
        </select>
      </div>
      <div class="field" id="grace-hours-field" hidden>
        <label for="grace-hours">Hours, 1 to 720</label>
        <input id="grace-hours" type="number" min="1" max="720" step="1" inputmode="numeric" />
      </div>
      <p class="muted" id="rotate-status" role="status"></p>
      <div id="rotate-problem"></div>
      <p class="row end">
        <button type="button" id="rotate-cancel">Cancel</button>
        <button class="primary" id="rotate-submit">Rotate</button>
      </p>
    </form>
  </dialog>
  <dialog id="revoke" aria-labelledby="revoke-title">
    <form id="revoke-form" method="post" class="stack" novalidate>
      <h2 id="revoke-title">Revoke <bdi id="revoke-name"></bdi>?</h2>
      <dl class="facts">
        <dt>Token</dt>
        <dd><code id="revoke-preview" translate="no"></code></dd>
        <dt>Scopes</dt>
        <dd id="revoke-scopes"></dd>
        <dt>Created</dt>
        <dd id="revoke-created"></dd>
        <dt>Last used</dt>
        <dd id="revoke-used"></dd>
      </dl>
      <p id="revoke-consequence">
        When this is done, no replica accepts the token any more. It cannot be undone.
      </p>
      <div id="revoke-recent" class="stack" hidden>
        <p class="warning" id="revoke-warning"></p>
        <div class="field">
          <label for="revoke-typed">Type the token’s name to go on</label>
          <input id="revoke-typed" autocomplete="off" spellcheck="false" />
        </div>
      </div>
      <p class="muted" id="revoke-status" role="status"></p>
      <div id="revoke-problem"></div>
      <p class="row end">
        <button type="button" id="revoke-cancel">Cancel</button>
        <button class="primary danger" id="revoke-submit">Revoke</button>
      </p>
    </form>
  </dialog>
  <dialog id="leave" aria-labelledby="leave-title">
    <div class="stack">
      <h2 id="leave-title">You have not copied the token</h2>
      <p>It cannot be shown again. Without a copy the only thing to do with it is to revoke it.</p>
      <p class="row end">
        <button type="button" id="leave-stay" class="primary">Go back</button>
        <button type="button" id="leave-go">Leave without it</button>
      </p>
    </div>
  </dialog>`
