/** The list of tokens, the receipts above it, and what stands in its place when there is none. */
import { html, type Html } from '../html.ts'

function sortable(key: string, title: string): Html {
  return html`<th scope="col" data-sort="${key}">
    <button type="button" class="sort">${title}</button>
  </th>`
}

export const listView = html`<section id="list" aria-labelledby="list-title" hidden>
    <div class="head">
      <div>
        <h2 id="list-title" tabindex="-1">Your tokens</h2>
        <p class="muted">
          CI jobs call the API with them, in your name. Each is shown once, when it is made.
        </p>
      </div>
      <button type="button" id="open-create" class="primary">Create token</button>
    </div>
    <div id="receipts" role="region" aria-label="Receipts" class="stack"></div>
    <div id="list-problem"></div>
    <div class="tools" id="list-tools">
      <div id="filter-field" class="inline" hidden>
        <label for="filter">Filter</label>
        <input type="search" id="filter" placeholder="Name or scope" autocomplete="off" />
      </div>
      <label class="check"
        ><input type="checkbox" id="with-inactive" /><span>Show revoked and expired</span></label
      >
      <p id="as-of" class="muted push"></p>
      <button type="button" id="refresh" class="quiet">Refresh</button>
    </div>
    <table id="tokens">
      <caption class="unseen">
        Your API tokens
      </caption>
      <thead>
        <tr>
          <th scope="col">Name</th>
          <th scope="col">Token</th>
          <th scope="col">Scopes</th>
          <th scope="col">Repositories</th>
          <th scope="col">Signing</th>
          ${sortable('createdAt', 'Created')} ${sortable('lastUsedAt', 'Last used')}
          ${sortable('expiresAt', 'Expires')}
          <th scope="col" class="state">State</th>
          <th scope="col"><span class="unseen">Actions</span></th>
        </tr>
      </thead>
      <tbody id="rows"></tbody>
    </table>
    <p id="waiting" role="status" class="muted"></p>
    <div id="no-match" class="muted" hidden>No token matches the filter.</div>
    <div id="empty" class="empty stack" hidden>
      <h3>No tokens yet</h3>
      <p class="muted">Make one here, or with your user JWT from a terminal:</p>
      <pre id="empty-curl"></pre>
      <button type="button" id="empty-create" class="primary">Create your first token</button>
    </div>
  </section>
  <template id="t-row"
    ><tr>
      <th scope="row" tabindex="-1"><bdi data-f="name"></bdi></th>
      <td data-label="Token"><code data-f="preview" translate="no"></code></td>
      <td data-label="Scopes"><div data-f="scopes"></div></td>
      <td data-label="Repositories"><div data-f="repositories"></div></td>
      <td data-label="Signing"><div data-f="signing"></div></td>
      <td data-label="Created"><div data-f="created"></div></td>
      <td data-label="Last used"><div data-f="used"></div></td>
      <td data-label="Expires"><div data-f="expires"></div></td>
      <td data-label="State" class="state"><div data-f="state"></div></td>
      <td class="actions">
        <button type="button" class="small" data-f="rotate">Rotate</button>
        <button type="button" class="small danger" data-f="revoke">Revoke</button>
      </td>
    </tr></template
  >
  <template id="t-skeleton"
    ><tr class="skeleton">
      <td colspan="10"><span></span></td></tr
  ></template>
  <template id="t-problem"
    ><div class="problem stack">
      <p role="alert" data-f="text"></p>
      <p class="muted small-print" data-f="trace">Request id <code data-f="id"></code></p>
      <button type="button" data-f="again" hidden>Try again</button>
    </div></template
  >
  <template id="t-receipt"
    ><div class="receipt">
      <p data-f="text"></p>
      <p class="muted small-print">
        <span data-f="when"></span>, request id <code data-f="id"></code>
      </p>
      <p class="row">
        <button type="button" class="small" data-f="copy">Copy receipt</button>
        <button type="button" class="small quiet" data-f="dismiss">Dismiss</button>
      </p>
    </div></template
  >`
