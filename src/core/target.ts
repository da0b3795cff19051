/** The request target: one canonical reading, or a denial. */

declare const canonical: unique symbol

/** Path and query as received, proven to have one reading. */
export interface Target {
  readonly [canonical]: true
  /** The bytes to match, sign and send: path and, after `?`, the query. */
  readonly raw: string
  /** Without the query; a last slash, if any, is still there. */
  readonly path: string
  /** Without `?`; undefined where there is no `?`. */
  readonly query: string | undefined
  /** Raw segments, without the empty one after a last slash; `/` has none. */
  readonly segments: readonly string[]
}
