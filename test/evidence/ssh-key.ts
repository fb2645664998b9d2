/** A person's SSH key, made and used by the real ssh-keygen. */
import { execFile } from 'node:child_process'
import { readFile, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import type { IssuedStatement, SigningKey } from '@writ/api'
import type { Client, Sent } from '../client.ts'

const run = promisify(execFile)

export interface SshKey {
  readonly file: string
  /** The line of the .pub file. */
  readonly publicKey: string
  /** The armored signature over a text. */
  sign(text: string, namespace: string, hash?: 'sha256' | 'sha512'): Promise<string>
}

export async function makeSshKey(folder: string, name: string, type: 'ed25519' | 'ecdsa' = 'ed25519'): Promise<SshKey> {
  const file = path.join(folder, name)
  await run('ssh-keygen', [
    '-q',
    '-t',
    type,
    ...(type === 'ecdsa' ? ['-b', '256'] : []),
    '-N',
    '',
    '-C',
    name,
    '-f',
    file,
  ])
  let signed = 0
  return {
    file,
    publicKey: await readFile(`${file}.pub`, 'utf8'),
    async sign(text, namespace, hash = 'sha512') {
      const message = `${file}.${++signed}.message`
      await writeFile(message, text)
      await run('ssh-keygen', ['-q', '-Y', 'sign', '-f', file, '-n', namespace, '-O', `hashalg=${hash}`, message])
      return readFile(`${message}.sig`, 'utf8')
    },
  }
}

/** Proposes the key as its owner does: statement, signature, proposal. */
export async function proposeKey(client: Client, key: SshKey, sent: Sent = {}) {
  const public_key = key.publicKey.trim()
  const issued = await client.post<IssuedStatement>('/signing-keys/statement', { type: 'ssh', public_key }, sent)
  const ssh = await key.sign(issued.body.statement, issued.body.namespace)
  const body = { type: 'ssh', public_key, name: 'desk', statement: issued.body.statement, ssh }
  return client.post<SigningKey & { code?: string; detail?: string }>('/signing-keys', body, sent)
}

/** A signed approval of a ticket, as `POST /tickets/:id/approve` takes it. */
export async function signApproval(
  client: Client,
  ticket: number | string,
  key: SshKey,
  keyId: string,
  sent: Sent = {},
) {
  const issued = await client.post<IssuedStatement>(`/tickets/${ticket}/approval-statement`, undefined, sent)
  const { statement, namespace } = issued.body
  return { key_id: keyId, statement, ssh: await key.sign(statement, namespace) }
}
