/** What is to be changed in a resource, whatever text it is written in. Paths begin at the resource. */
import type { Fields, Path } from './fields.ts'

export type Change =
  /** A value of a map or an item of a list; a member that is missing becomes the map's last one. */
  | { readonly kind: 'set'; readonly path: Path; readonly value: unknown }
  /** New members at the end of a map, which is made where it is missing. */
  | { readonly kind: 'add'; readonly path: Path; readonly members: Fields }
  /** New items at the end of a list, which is made where it is missing. */
  | { readonly kind: 'append'; readonly path: Path; readonly items: readonly unknown[] }
