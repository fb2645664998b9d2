import { createInterface } from 'node:readline/promises'
import { Writable } from 'node:stream'
import { usage } from './failure.ts'
import type { Terminal } from './terminal.ts'

/** Asks on the terminal. Throws a usage failure that names `instead` when nobody is there to answer. */
export async function ask(
  terminal: Terminal,
  question: string,
  options: { secret?: boolean; instead: string; fallback?: string },
): Promise<string> {
  const { stdin, stderr, signal } = terminal
  if (!stdin.isTTY) throw usage(`${question.replace(/[:\s]*$/, '')} is needed`, `Give it with ${options.instead}.`)
  // Questions go to stderr: stdout carries results. What is typed to a secret question is shown nowhere.
  let muted = false
  const echo = new Writable({
    write(chunk, _, done) {
      if (!muted) stderr.write(chunk)
      done()
    },
  })
  const lines = createInterface({ input: stdin, output: echo, terminal: true })
  try {
    const asked = lines.question(question, { signal })
    muted = options.secret === true
    const answer = await asked
    if (muted) stderr.write('\n')
    return answer === '' && options.fallback !== undefined ? options.fallback : answer
  } finally {
    lines.close()
  }
}

/** The first line of what is piped in, for secrets that must not stand on a command line. */
export async function readSecret(terminal: Terminal, flag: string): Promise<string> {
  if (terminal.stdin.isTTY) throw usage(`${flag} reads from a pipe`, `For example: pass show writ | writ login ${flag}`)
  const chunks: Buffer[] = []
  for await (const chunk of terminal.stdin) chunks.push(Buffer.from(chunk))
  const line = Buffer.concat(chunks).toString('utf8').split(/\r?\n/)[0] ?? ''
  if (line === '') throw usage(`${flag} found nothing on standard input`)
  return line
}
