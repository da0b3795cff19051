import type { Barrier, TokenStore } from '../core/ports.ts'
import type { CommandIo } from './output.ts'
import type { ScopeMap } from './token-input.ts'
export interface TokenDesk extends AsyncDisposable {
  readonly store: TokenStore
  readonly barrier: Pick<Barrier, 'wait'>
  scopes(): Promise<ScopeMap>
}
export async function openTokenDesk(_io: CommandIo): Promise<TokenDesk> {
  throw new Error('x')
}
