import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { Failure } from './failure.ts'

/**
 * Signs a text with an SSH key, by the person's own ssh-keygen: it asks for a passphrase, an agent or a security token
 * by itself, and the private key is never read here. Answers the armored signature.
 */
export async function sshSign(file: string, namespace: string, text: string, signal: AbortSignal): Promise<string> {
  const child = spawn('ssh-keygen', ['-Y', 'sign', '-f', file, '-n', namespace], {
    // A passphrase is asked for on the terminal, not on stdin.
    stdio: ['pipe', 'pipe', 'pipe'],
    signal,
  })
  let signature = ''
  let said = ''
  child.stdout.on('data', (chunk) => {
    signature += String(chunk)
  })
  child.stderr.on('data', (chunk) => {
    said += String(chunk)
  })
  child.stdin.on('error', () => {})
  child.stdin.end(text)
  const [code] = await once(child, 'close').catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'ENOENT') throw error
    throw new Failure('ssh-keygen is not installed', { advice: 'It comes with OpenSSH.' })
  })
  if (code !== 0)
    throw new Failure(`ssh-keygen could not sign with ${file}: ${reasonIn(said)}`, {
      advice: 'Give the private key, or the .pub file of a key that your agent holds.',
    })
  return signature
}

/** What ssh-keygen said last. Without a terminal the question for the passphrase stands before it, in the same line. */
const reasonIn = (said: string): string =>
  (said.trim().split('\n').at(-1) ?? '').replace(/^Enter passphrase[^:]*: (?=.)/, '')
