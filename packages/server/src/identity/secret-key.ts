import {
  createCipheriv,
  createDecipheriv,
  createSecretKey,
  generateKeyPairSync,
  hkdfSync,
  randomBytes,
} from 'node:crypto'
import { link, mkdir, open, readFile, rm } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { AppError } from '../platform/app-error.ts'
import type { Secret } from '../platform/secret.ts'

/** The live key first, then the one before, which still opens and verifies. */
export type SecretKeys = readonly [current: string, previous?: string]

/** SECRET_KEY and the one before it, or the one kept in `<data>/keys/secret.key`, which is made at first use (0600). */
export async function loadSecretKey(settings: {
  readonly dataDir: string
  readonly secretKey?: Secret<string> | undefined
  readonly secretKeyPrevious?: Secret<string> | undefined
}): Promise<SecretKeys> {
  if (settings.secretKey) {
    const previous = settings.secretKeyPrevious?.reveal()
    return previous === undefined ? [settings.secretKey.reveal()] : [settings.secretKey.reveal(), previous]
  }
  return [await loadOrMake(join(settings.dataDir, 'keys', 'secret.key'), () => randomBytes(48).toString('base64url'))]
}

/** The Ed25519 key that signs access tokens when ALGORITHM is EdDSA: PKCS #8 PEM in `<data>/keys/access-token.pem`. */
export const loadTokenKey = (dataDir: string): Promise<string> =>
  loadOrMake(join(dataDir, 'keys', 'access-token.pem'), () =>
    generateKeyPairSync('ed25519').privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  )

// Stopped before the link, the next start makes another key, and nothing was signed with this one yet. A rival that was
// faster keeps its file: linking does not replace one.
async function loadOrMake(file: string, make: () => string): Promise<string> {
  try {
    return (await readFile(file, 'utf8')).trim()
  } catch (error) {
    if (codeOf(error) !== 'ENOENT') throw error
  }
  await mkdir(dirname(file), { recursive: true, mode: 0o700 })
  const text = make().trim()
  const draft = `${file}.${randomBytes(6).toString('hex')}`
  const handle = await open(draft, 'wx', 0o600)
  try {
    await handle.writeFile(`${text}\n`)
    await handle.sync()
  } finally {
    await handle.close()
  }
  try {
    await link(draft, file)
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error
  } finally {
    await rm(draft)
  }
  return (await readFile(file, 'utf8')).trim()
}

const codeOf = (error: unknown) => (error instanceof Error && 'code' in error ? error.code : undefined)

/** A key for one purpose, so that no two uses of SECRET_KEY share bytes (HKDF-SHA-256, RFC 5869). */
export const deriveKey = (secret: string, purpose: string): Buffer =>
  Buffer.from(hkdfSync('sha256', secret, '', `writ ${purpose}`, 32))

/** The key under which redacted secrets are hashed: the same for every server of an installation, another after SECRET_KEY was. */
export const redactionKey = (keys: SecretKeys): Buffer => deriveKey(keys[0], 'redaction')

/**
 * What a value begins with that was sealed under a key, whatever its purpose: so a database can be asked which of its values still
 * need the key before. It tells no more of the key than the value itself does.
 */
export const sealMark = (key: string): string => `v2.${deriveKey(key, 'name of the key').toString('hex', 0, 4)}.`

/**
 * Seals a short secret with AES-256-GCM; `about` (an id) is authenticated, so a sealed value cannot be moved to another
 * row. `open` tries both live keys and throws SECRETS_UNREADABLE for anything that was not sealed so.
 */
export function createSeal(keys: SecretKeys, purpose: string) {
  // Key objects: bytes given as a key are asked first whether they are one, which takes longer than all the rest.
  const derived = keys.filter((key) => key !== undefined).map((key) => createSecretKey(deriveKey(key, purpose)))
  const mark = sealMark(keys[0])
  return {
    seal(text: string, about: string): string {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', derived[0]!, iv).setAAD(Buffer.from(about))
      const sealed = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return mark + Buffer.concat([iv, cipher.getAuthTag(), sealed]).toString('base64url')
    },
    open(sealed: string, about: string): string {
      // Those of v1 do not name their key.
      const bytes = Buffer.from(sealed.slice(sealed.lastIndexOf('.') + 1), 'base64url')
      for (const key of derived) {
        try {
          const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12), { authTagLength: 16 })
          decipher.setAAD(Buffer.from(about)).setAuthTag(bytes.subarray(12, 28))
          return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
        } catch {
          // Sealed with the other key, or by nobody: the last try decides.
        }
      }
      throw new AppError('SECRETS_UNREADABLE')
    },
  }
}
export type Seal = ReturnType<typeof createSeal>
