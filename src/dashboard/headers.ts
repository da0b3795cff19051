/**
 * What the browser is told on every answer of the page: nothing from elsewhere, nothing inline, in
 * nobody's frame, no markup made by a script. These are on the gate's own page alone; what the
 * upstream answers passes unchanged.
 * Source: CSP level 3, Trusted Types, Fetch (Cross-Origin-Resource-Policy), WHATWG HTML (COOP).
 */

const POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self'",
  "connect-src 'self'",
  "img-src 'self'",
  // A password form whose script did not load can send nothing.
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
  "require-trusted-types-for 'script'",
  "trusted-types 'none'"
]

/** Lower-case names. */
export const PAGE_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy': POLICY.join('; '),
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'x-frame-options': 'DENY',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), clipboard-read=()'
}
