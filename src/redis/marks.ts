/**
 * The epoch marks: `born/server` beside the nonces of each bucket. A mark that is gone, or names
 * another server, says that nonces may have been lost: what was stamped before `born` cannot be told
 * from a repetition then.
 *
 *   born     ms since the epoch by the database's clock: nothing kept since then was lost
 *   server   run id and replication id of the server that had the bucket then
 */

/** Text of a mark. */
export function markText(bornMs: number, server: string): string {
  return `${Math.ceil(bornMs)}/${server}`
}

/** When the bucket was born, or undefined where the mark is missing or of another server. */
export function bornBy(text: string | null, server: string): number | undefined {
  const slash = text?.indexOf('/') ?? -1
  if (text === null || text.slice(slash + 1) !== server) return undefined
  const bornMs = slash > 0 ? Number(text.slice(0, slash)) : Number.NaN
  return Number.isSafeInteger(bornMs) ? bornMs : undefined
}
