import { execFile } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Test } from 'tap'

/** A certificate that nobody vouches for, with its key. */
export interface Certificate {
  key: Buffer
  cert: Buffer
  /** The certificate, for `NODE_EXTRA_CA_CERTS`. */
  file: string
}

/** Makes a certificate for loopback, and further names, by the program openssl; it is gone after the test. */
export async function makeCertificate (t: Test, names: readonly string[] = []): Promise<Certificate> {
  const directory = mkdtempSync(join(tmpdir(), 'certificate-'))
  t.teardown(() => { rmSync(directory, { recursive: true, force: true }) })
  const [key, file] = [join(directory, 'key.pem'), join(directory, 'certificate.pem')]
  await promisify(execFile)('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
    '-subj', '/CN=localhost',
    '-addext', `subjectAltName=DNS:localhost,IP:127.0.0.1${names.map(name => `,DNS:${name}`).join('')}`,
    '-keyout', key, '-out', file
  ])
  return { key: readFileSync(key), cert: readFileSync(file), file }
}
