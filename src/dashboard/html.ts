/**
 * Markup that escapes by default: what is put into an html`…` template is text, unless it is the
 * outcome of another one. Values stand in text or in quoted attributes, never in a tag's or an
 * attribute's name, a script or a style.
 * Source: WHATWG HTML, sections 13.2.5.1 and 13.2.5.36 to 38 (what ends text and a quoted value).
 */

declare const made: unique symbol

/** Made by html`…` alone. */
export interface Html {
  readonly [made]: true
  readonly markup: string
}

const ESCAPES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;'
}

function escapeText(text: string): string {
  return text.replaceAll(/[&<>"']/g, char => ESCAPES[char] ?? '')
}

function isHtml(value: object): value is Html {
  return 'markup' in value
}

/** Undefined and an empty list leave nothing. */
export function html(
  parts: TemplateStringsArray,
  ...values: readonly (string | Html | readonly Html[] | undefined)[]
): Html {
  const markup = parts.map((part, i) => part + render(values[i])).join('')
  const outcome = { markup }
  if (!isHtml(outcome)) throw new TypeError('no markup')
  return outcome
}

function render(value: string | Html | readonly Html[] | undefined): string {
  if (value === undefined) return ''
  if (typeof value === 'string') return escapeText(value)
  return 'markup' in value ? value.markup : value.map(({ markup }) => markup).join('')
}
