/** Certificates that a test makes with openssl. */
import { execFile } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export interface Certificate {
  readonly key: Buffer
  readonly cert: Buffer
  /** The certificate as a PEM file, for whoever is to trust it. */
  readonly file: string
}

/** A key, and a certificate that it signed itself, in this folder. `san`: as in `IP:127.0.0.1`. */
export async function makeCertificate(
  folder: string,
  { name = 'upstream', san = 'IP:127.0.0.1', days = 1 } = {}
): Promise<Certificate> {
  const at = (end: string) => join(folder, `${name}.${end}`)
  const openssl = (...args: readonly string[]) => run('openssl', [...args])
  const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes']
  const subject = ['-subj', '/CN=upstream', '-addext', `subjectAltName=${san}`]
  await openssl('req', '-new', ...curve, '-keyout', at('key'), '-out', at('req'), ...subject)
  const signing = ['-signkey', at('key'), '-days', `${days}`, '-copy_extensions', 'copy']
  await openssl('x509', '-req', '-in', at('req'), ...signing, '-out', at('pem'))
  return { key: readFileSync(at('key')), cert: readFileSync(at('pem')), file: at('pem') }
}
