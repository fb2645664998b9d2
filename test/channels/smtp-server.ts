/** A mail server that keeps what it is given, for the few words of SMTP that a client without TLS says (RFC 5321). */

import type { AddressInfo } from 'node:net'
import { createServer, type Socket } from 'node:net'

export interface SmtpServer extends AsyncDisposable {
  readonly url: string
  readonly letters: { to: string[]; content: string }[]
  /** The answer to the next recipients, or to each. */
  recipient: string | ((to: string) => string)
  /** How long it thinks before each answer. */
  delayMs: number
  /** In place of its own answer to a command (`EHLO`, `DATA`, …), to the end of a letter (`.`), or for its greeting (`connect`). */
  answers: Partial<Record<'connect' | 'EHLO' | 'HELO' | 'MAIL' | 'DATA' | '.', SmtpAnswer>>
}

/** A line; or it cuts the connection, says nothing any more, or goes on and on. */
export type SmtpAnswer = { readonly say: string } | 'cut' | 'silent' | 'endless'

export async function startSmtpServer(): Promise<SmtpServer> {
  const open = new Set<Socket>()
  const server = createServer((socket) => {
    open.add(socket)
    socket.on('close', () => open.delete(socket))
    socket.on('error', () => {})
    serve(socket, smtp)
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  const smtp: SmtpServer = {
    url: `smtp://127.0.0.1:${(server.address() as AddressInfo).port}`,
    letters: [],
    recipient: '250 ok',
    delayMs: 0,
    answers: {},
    async [Symbol.asyncDispose]() {
      for (const socket of open) socket.destroy()
      await new Promise((done) => server.close(done))
    },
  }
  return smtp
}

function serve(socket: Socket, smtp: SmtpServer): void {
  let text = ''
  let to: string[] = []
  let content: string[] | null = null
  const say = (line: string) => {
    if (smtp.delayMs === 0) socket.write(`${line}\r\n`)
    else setTimeout(() => socket.write(`${line}\r\n`), smtp.delayMs)
  }
  /** Whether what is said in place of its own answer lets a letter begin. */
  const answer = (to: keyof SmtpServer['answers'], own: string): boolean => {
    const other = smtp.answers[to] ?? { say: own }
    if (other === 'cut') socket.destroy()
    else if (other === 'endless') goOn(socket)
    else if (other !== 'silent') say(other.say)
    return typeof other === 'object' && /^[23]/.test(other.say)
  }
  answer('connect', '220 test.invalid ESMTP')
  socket.on('data', (chunk) => {
    text += String(chunk)
    const lines = text.split('\r\n')
    text = lines.pop()!
    for (const line of lines) {
      if (content !== null) {
        if (line !== '.') content.push(line)
        else {
          const letter = { to, content: content.join('\n') }
          content = null
          if (answer('.', '250 kept')) smtp.letters.push(letter)
        }
      } else if (/^EHLO/i.test(line)) answer('EHLO', '250 test.invalid')
      else if (/^HELO/i.test(line)) answer('HELO', '250 test.invalid')
      else if (/^MAIL FROM/i.test(line)) {
        to = []
        answer('MAIL', '250 ok')
      } else if (/^RCPT TO/i.test(line)) {
        const one = /<(.*)>/.exec(line)?.[1] ?? ''
        const answer = typeof smtp.recipient === 'string' ? smtp.recipient : smtp.recipient(one)
        if (answer.startsWith('2')) to.push(one)
        say(answer)
      } else if (/^DATA/i.test(line)) {
        if (answer('DATA', '354 go on')) content = []
      } else if (/^QUIT/i.test(line)) {
        say('221 bye')
        socket.end()
      } else say('250 ok')
    }
  })
}

/** Lines of a greeting of which each says that another follows. */
function goOn(socket: Socket): void {
  if (socket.destroyed) return
  socket.write('220-and another line\r\n'.repeat(1_000), () => setImmediate(goOn, socket))
}
