/**
 * What no single setting shows: settings that exclude or need each other, and switches of Node that
 * take away what the gate relies on.
 * Source: https://nodejs.org/api/cli.html (--insecure-http-parser, NODE_TLS_REJECT_UNAUTHORIZED).
 */
import type { Problem } from './file.ts'

const ENV = 'environment'

/** `values`: of the settings that could be read; one that could not has its problem already. */
export function findConflicts(
  values: Readonly<Record<string, unknown>>,
  env: Readonly<Record<string, string | undefined>>
): readonly Problem[] {
  const problems: Problem[] = []
  const refuse = (name: string, message: string, place = 'settings') =>
    problems.push({ name, place, message })
  const isGiven = (name: string) => values[name] !== undefined
  if (isGiven('JWT_SECRET') && isGiven('JWT_JWKS_URL')) {
    refuse('JWT_SECRET', 'is given together with JWT_JWKS_URL: keys come from one of them')
  }
  if ('REDIS_URL' in values && !isGiven('REDIS_URL') && values['REDIS_MODE'] !== 'single') {
    refuse('REDIS_MODE', 'is given without REDIS_URL')
  }
  const { PORT, ADMIN_PORT, HOST, ADMIN_HOST } = values
  if (PORT === ADMIN_PORT && PORT !== undefined && PORT !== 0 && HOST === ADMIN_HOST) {
    refuse('ADMIN_PORT', 'is the same as PORT')
  }
  if (values['UPSTREAM_EXPOSURE'] === 'refuse' && 'POD_IP' in values && !isGiven('POD_IP')) {
    refuse('UPSTREAM_EXPOSURE', 'is refuse without POD_IP: there is no address to look at')
  }
  // Underscores mean dashes in Node's options.
  if (/--insecure[-_]http[-_]parser/.test(env['NODE_OPTIONS'] ?? '')) {
    refuse('NODE_OPTIONS', 'has --insecure-http-parser: requests could be read in two ways', ENV)
  }
  if (env['NODE_TLS_REJECT_UNAUTHORIZED'] === '0') {
    refuse('NODE_TLS_REJECT_UNAUTHORIZED', 'is 0: no certificate would be verified', ENV)
  }
  return problems
}
