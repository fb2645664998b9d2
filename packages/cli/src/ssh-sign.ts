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
  if (code !== 0) {
    const reason = reasonIn(said)
    throw new Failure(`ssh-keygen could not sign with ${file}: ${reason}`, { advice: adviceFor(reason, file) })
  }
  return signature
}

/**
 * What ssh-keygen said last, or what it said of the file's mode: that no key is found follows from it. Without a terminal the question
 * for the passphrase stands before it, in the same line.
 */
const reasonIn = (said: string): string =>
  /^Permissions .* too open\.$/m.exec(said)?.[0] ??
  (said.trim().split('\n').at(-1) ?? '').replace(/^Enter passphrase[^:]*: (?=.)/, '')

function adviceFor(reason: string, file: string): string {
  if (/passphrase/.test(reason))
    return `Try again with the passphrase of this key; it is asked for on a terminal. Without one, load the key with "ssh-add ${file}".`
  if (/too open/.test(reason)) return `"chmod 600 ${file}" leaves it to you alone.`
  if (/doesn't match private/.test(reason)) return renewAdvice(file)
  if (/agent/.test(reason)) return 'Unlock the agent, or confirm there what it asks.'
  if (file.endsWith('.pub'))
    return 'No agent that SSH_AUTH_SOCK names holds this key: load it with "ssh-add", or give the private key.'
  return 'Give the private key, or the .pub file of a key that your agent holds.'
}

/** How the .pub file of a private key is written again. */
export const renewAdvice = (file: string): string =>
  `The .pub file beside a key is its public half: "ssh-keygen -y -f ${file} > ${file}.pub" writes it.`
