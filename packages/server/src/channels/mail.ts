import type { Secret } from '../platform/secret.ts'

export interface Letter {
  readonly to: readonly string[]
  readonly subject: string
  readonly text: string
  /** The same in every attempt: a mail program shows two of them once. */
  readonly messageId: string
}

export interface LetterLimit {
  /** For each thing that the server is asked. */
  readonly stepMs: number
  /** For all of it: a server that takes its time over every word would be waited for longer than the delivery is ours. */
  readonly wholeMs: number
}

export interface Mail {
  /** Answers the server's last line; throws what the connection or the server said, with its code. */
  send(letter: Letter, limit: LetterLimit): Promise<{ status: number; answer: string }>
}

/**
 * E-mail through the server that the operator set up. A connection for each letter: they are few, and one that is kept
 * is closed by the other side when nobody looks.
 * @param url `smtp://user:password@host:587`, upgraded to TLS where the server offers it, or `smtps://`. A password goes to another
 * machine under TLS only, unless the url ends in `?requireTLS=false`: whoever sits in between could leave the offer out.
 */
export function createMail(url: Secret<string>, from: string): Mail {
  return {
    async send({ to, subject, text, messageId }, { stepMs, wholeMs }) {
      // Loaded with the first letter: most servers never send one.
      const { createTransport } = await import('nodemailer')
      const transport = createTransport({
        url: url.reveal(),
        connectionTimeout: stepMs,
        greetingTimeout: stepMs,
        socketTimeout: stepMs,
        // Nothing in a letter may make this machine read a file or call an address.
        disableFileAccess: true,
        disableUrlAccess: true,
        ...(needsTls(url.reveal()) ? { requireTLS: true } : {}),
      })
      const whole = AbortSignal.timeout(wholeMs)
      try {
        const sent = await transport.sendMail({
          from,
          to: [...to],
          subject,
          text,
          messageId,
          // RFC 3834: nobody is away who should answer this.
          headers: { 'auto-submitted': 'auto-generated' },
          signal: whole,
        })
        // It went to the others: sent again they would have it twice. Who has looks here, finds who did not get it.
        const refused = (sent.rejectedErrors ?? []).map(
          // By place: an address would be redacted, here as everywhere.
          ({ recipient, response }) => `; not to recipient ${to.indexOf(recipient ?? '') + 1}: ${response}`,
        )
        return {
          status: Number(/^\d{3}/.exec(sent.response)?.[0] ?? 250),
          answer: `${sent.response}${refused.join('')}`,
        }
      } catch (error) {
        if (!whole.aborted) throw error
        throw Object.assign(new Error(`the mail server did not take the letter within ${wholeMs} ms`), {
          code: 'TIMEOUT',
        })
      } finally {
        transport.close()
      }
    },
  }
}

/** Whether the password of the url is for another machine, and nothing was said of how it gets there. */
export function needsTls(url: string): boolean {
  const { protocol, password, hostname, searchParams } = new URL(url)
  const isHere = /^(localhost|127\.[0-9.]+|\[::1\])$/i.test(hostname)
  return protocol === 'smtp:' && password !== '' && !isHere && !searchParams.has('requireTLS')
}

/** The addresses of a `mailto:` url, or undefined if it is none, or says more than to whom. */
export function recipientsOf(url: string): string[] | undefined {
  if (!/^mailto:/i.test(url) || /[?#]/.test(url)) return undefined
  const addresses = url
    .slice('mailto:'.length)
    .split(',')
    .map((one) => one.trim())
  const fit = addresses.every((one) => /^[A-Za-z0-9.!#$%&'*+/=^_`{|}~-]{1,64}@[A-Za-z0-9.-]{1,253}$/.test(one))
  return fit && addresses.length <= 20 ? addresses : undefined
}
