import type { SigningKey } from '@writ/api'
import type { Command } from 'commander'
import { type App, numberText, refOf } from '../app.ts'
import { ticketFields } from '../columns.ts'
import { Failure, usage } from '../failure.ts'
import { mustBeFile, readGiven } from '../given-file.ts'
import type { Field } from '../output.ts'
import { renewAdvice, sshSign } from '../ssh-sign.ts'
import type { Column } from '../table.ts'
import { timeText } from '../text.ts'

const columns: Column<SigningKey>[] = [
  { head: 'ID', value: (k) => k.id },
  { head: 'STATE', value: (k) => k.state, paint: (k) => (k.state === 'enrolled' ? 'green' : undefined) },
  { head: 'OF', value: (k) => `${k.username} ${numberText(k.user_number)}` },
  { head: 'NAME', value: (k) => k.name, shrink: true },
  { head: 'TYPE', value: (k) => k.type, spare: true },
  { head: 'FINGERPRINT', value: (k) => k.fingerprint, shrink: true },
]

const fields = (k: SigningKey): Field[] => [
  ['Key', k.name, 'bold'],
  ['State', k.state + (k.bootstrap ? ' (the first of this project: bootstrap)' : '')],
  ['Of', `${k.username} ${numberText(k.user_number)}`],
  ['Type', `${k.type}, ${k.algorithm}`],
  ['Fingerprint', k.fingerprint],
  ['Proposed', timeText(k.created_at)],
  ['Decided', timeText(k.decided_at)],
  ['Revoked', k.revoked_by_id === null ? timeText(k.revoked_at) : `${timeText(k.revoked_at)} by ${k.revoked_by_id}`],
  ['Id', k.id],
]

export function addSigningKeyCommands(program: Command, app: App): void {
  program
    .command('approve <subject> <ref>')
    .description('Approve a ticket, signed with a key of your own')
    .option('--ssh-key <file>', 'the private key, or the .pub file of a key that your agent holds')
    .option('--digest <digest>', 'approve only the version with this digest, all 64 digits')
    .option('--reason <text>', 'why')
    .addHelpText(
      'after',
      `
ssh-keygen signs a statement that names the ticket and exactly this version; the server and anybody who gets the
evidence check it. For a passkey open /approve/<ticket> on the server in a browser.

Example:
  writ approve ticket 1 --ssh-key ~/.ssh/id_ed25519`,
    )
    .action((subject: string, ref: string, o: { sshKey?: string; digest?: string; reason?: string }) => {
      if (subject !== 'ticket') throw usage('What can be approved is a ticket')
      return approve(app, refOf(ref), o)
    })

  const key = program
    .command('signing-key')
    .description('Keys with which people sign what they approve; enrolled by two')
    .addHelpText(
      'after',
      '\nExamples:\n  writ signing-key enrol --ssh-key ~/.ssh/id_ed25519\n  writ signing-key list\n  writ signing-key approve <id>',
    )

  key
    .command('list')
    .description('List the keys of this project, revoked ones too')
    .action(async () => app.out().list(await (await app.client()).all('signingKeys.list'), columns, (k) => k.id))

  key
    .command('enrol')
    .description('Propose an SSH key of yours; another admin approves it')
    .requiredOption('--ssh-key <file>', 'the private key, or the .pub file of a key that your agent holds')
    .option('--name <name>', 'what to call it; the comment of the key otherwise')
    .action(async ({ sshKey, name }: { sshKey: string; name?: string }) => {
      const [type, blob, ...comment] = await publicKeyOf(sshKey)
      const public_key = `${type} ${blob}`
      const client = await app.client()
      // Before a passphrase, or the touch of a token, is asked for.
      const fingerprint = await fingerprintOf(blob)
      const there = (await client.all('signingKeys.list')).find(
        (one) => one.fingerprint === fingerprint && (one.state === 'proposed' || one.state === 'enrolled'),
      )
      if (there)
        throw new Failure(`The key ${fingerprint} of ${there.username} is ${there.state} in this project already`, {
          code: 'SIGNING_KEY_TAKEN',
          ...(there.state === 'proposed'
            ? { advice: `Another admin runs "writ signing-key approve ${there.id}".` }
            : {}),
        })
      const { statement, namespace } = await client.signingKeys.statement({ body: { type: 'ssh', public_key } })
      const ssh = await sshSign(sshKey, namespace, statement, app.terminal.signal)
      const called = name ?? (comment.join(' ').slice(0, 100) || 'SSH key')
      const made = await client.signingKeys.enrol({
        body: { type: 'ssh', public_key, name: called, statement, ssh },
      })
      app.out().item(made, fields(made), made.id)
      if (made.state === 'proposed') app.out().note(`Another admin runs "writ signing-key approve ${made.id}".`)
    })

  key
    .command('approve <id>')
    .description('Approve a key that somebody else proposed')
    .action(async (id: string) => {
      const done = await (await app.client()).signingKeys.approve({ params: { id } })
      app.out().item(done, fields(done), done.id)
    })

  for (const [verb, description] of [
    ['reject', 'Reject a proposed key, or take one of your own back'],
    ['revoke', 'Revoke a key; what it signed before stays signed'],
  ] as const) {
    key
      .command(`${verb} <id>`)
      .description(description)
      .option('--reason <text>', 'why')
      .action(async (id: string, { reason }: { reason?: string }) => {
        const done = await (await app.client()).signingKeys[verb]({ params: { id }, body: { reason } })
        app.out().item(done, fields(done), done.id)
      })
  }
}

async function approve(
  app: App,
  id: string,
  { sshKey, digest, reason }: { sshKey?: string; digest?: string; reason?: string },
): Promise<void> {
  const client = await app.client()
  const signed = sshKey === undefined ? undefined : await sign(app, id, sshKey)
  const ticket = await client.tickets.approve({ params: { id }, body: { digest, reason, signed } })
  app.out().item(ticket, ticketFields(ticket), ticket.number)
}

/** The words of the public key that belongs to a key that the command line names: type, key, comment. */
async function publicKeyOf(file: string): Promise<[type: string, blob: string, ...comment: string[]]> {
  const wanted = { advice: 'Give the private key, or the .pub file of a key that your agent holds.' }
  const path = file.endsWith('.pub') ? file : `${file}.pub`
  const text = await readGiven(path, wanted).catch(async (error: unknown) => {
    // What was named, rather than what stands beside it.
    await mustBeFile(file, wanted)
    throw path === file || !(error instanceof Failure) ? error : usage(error.message, renewAdvice(file))
  })
  const [type, blob, ...comment] = text.trim().split(/\s+/)
  if (!type || !blob) throw usage(`${path} holds no public key`, wanted.advice)
  return [type, blob, ...comment]
}

async function sign(app: App, id: string, file: string) {
  const [, blob] = await publicKeyOf(file)
  const client = await app.client()
  const fingerprint = await fingerprintOf(blob)
  const same = (await client.all('signingKeys.list')).filter((one) => one.fingerprint === fingerprint)
  const key = same.find((one) => one.state === 'enrolled')
  if (key && key.user_id !== (await client.auth.me()).id)
    throw usage(
      `The key ${fingerprint} is that of ${key.username}`,
      'What you approve you sign with a key of your own.',
    )
  const proposed = same.find((one) => one.state === 'proposed')
  if (!key && proposed)
    throw usage(
      `The key ${fingerprint} is proposed, and not enrolled yet`,
      `Another admin runs "writ signing-key approve ${proposed.id}".`,
    )
  const ended = same.find((one) => one.state === 'revoked') ?? same[0]
  if (!key && ended)
    throw usage(
      `The key ${fingerprint} was ${ended.state} at ${timeText(ended.state === 'revoked' ? ended.revoked_at : ended.decided_at)}`,
      'Sign with another; "writ signing-key list" shows which are enrolled.',
    )
  if (!key)
    throw usage(
      `No enrolled signing key has the fingerprint ${fingerprint}`,
      'Run "writ signing-key enrol --ssh-key" first.',
    )
  // Only now: a passphrase, or the touch of a token, is asked for nothing otherwise.
  const { statement, namespace } = await client.tickets.approvalStatement({ params: { id } })
  const ssh = await sshSign(file, namespace, statement, app.terminal.signal)
  return { key_id: key.id, statement, ssh }
}

const fingerprintOf = async (blob: string) =>
  `SHA256:${Buffer.from(await crypto.subtle.digest('SHA-256', Buffer.from(blob, 'base64')))
    .toString('base64')
    .replace(/=+$/, '')}`
