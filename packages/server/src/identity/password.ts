import { argon2, randomBytes, randomInt, timingSafeEqual } from 'node:crypto'
import { promisify } from 'node:util'
import { AppError } from '../platform/app-error.ts'

const argon2Async = promisify(argon2)

/** Memory in KiB, passes, lanes. The defaults are OWASP's first choice of 2024 (19 MiB, 2, 1). */
export interface PasswordCost {
  readonly memory: number
  readonly passes: number
  readonly parallelism: number
}
const defaultPasswordCost: PasswordCost = { memory: 19_456, passes: 2, parallelism: 1 }

const MIN = 10
const MAX = 256
const LENGTH = 32

// Long enough to pass the length rule and yet among the first that are tried (they lead every public list of leaks).
const common = new Set(
  `1234567890 0123456789 9876543210 12345678910 1234567891 0987654321 1111111111 0000000000 1qaz2wsx3edc qwertyuiop
   1q2w3e4r5t 1q2w3e4r5t6y q1w2e3r4t5 qwerty1234 qwerty12345 qwerty123456 asdfghjkl1 zaq12wsxcde3 password12
   password123 password1234 password12345 password123456 passw0rd123 p@ssw0rd123 p@ssword123 mypassword administrator
   administrator1 admin12345 admin123456 adminadmin admin1234567 changeme123 changemenow letmein123 letmein1234
   welcome123 welcome1234 iloveyou12 iloveyou123 football123 baseball12 sunshine12 princess12 superman12 trustno1234
   abcdefghij abcdefghijk abc1234567 abcd123456 a123456789 aa12345678 123456789a 1234567890a 123qweasdzxc
   qweasdzxc123 woaini1314 woaini1314520 woaini520 5201314520 1314520520 147258369 1472583690 7894561230 11223344556
   1122334455 secret1234 supersecret default123 rootroot123 toor1234567 procurator1 writwritwrit`.split(/\s+/),
)

/** Refuses what is too short, too long or common: PASSWORD_WEAK. Lengths count characters, not bytes. */
export function checkPassword(password: string, username = ''): void {
  if (!isWeak(password, username)) return
  throw new AppError('PASSWORD_WEAK', { min: MIN, max: MAX })
}

/** Whether `checkPassword` would refuse it. */
export function isWeak(password: string, username = ''): boolean {
  const length = [...password].length
  const lower = password.toLowerCase()
  return (
    length < MIN ||
    length > MAX ||
    common.has(lower) ||
    new Set(lower).size < 3 ||
    (username.length >= 3 && lower === username.toLowerCase())
  )
}

/** A password that is read from a screen once: 20 characters without look-alikes, about 98 bits. */
export function oneTimePassword(): string {
  const letters = 'abcdefghijkmnpqrstuvwxyz23456789'
  const groups = Array.from({ length: 4 }, () =>
    Array.from({ length: 5 }, () => letters[randomInt(letters.length)]).join(''),
  )
  return groups.join('-')
}

export interface Passwords {
  hash(password: string): Promise<string>
  /** `stored` null is an account that does not exist: it costs the same and is never right. */
  verify(password: string, stored: string | null): Promise<{ right: boolean; stale: boolean }>
}

/**
 * Argon2id in PHC string format (RFC 9106), computed on the thread pool. `stale` says that the stored hash was made
 * with other parameters and should be made again while the password is at hand.
 */
export function createPasswords(cost: PasswordCost = defaultPasswordCost): Passwords {
  const compute = (password: string, salt: Buffer, at: PasswordCost, length: number) =>
    argon2Async('argon2id', { message: Buffer.from(password), nonce: salt, tagLength: length, ...at })
  const dummySalt = randomBytes(16)
  return {
    async hash(password) {
      const salt = randomBytes(16)
      return format(cost, salt, await compute(password, salt, cost, LENGTH))
    },
    async verify(password, stored) {
      const parsed = stored === null ? undefined : parse(stored)
      if (!parsed) {
        await compute(password, dummySalt, cost, LENGTH)
        return { right: false, stale: false }
      }
      const found = await compute(password, parsed.salt, parsed.cost, parsed.hash.length)
      const { memory, passes, parallelism } = parsed.cost
      return {
        right: timingSafeEqual(found, parsed.hash),
        stale: memory !== cost.memory || passes !== cost.passes || parallelism !== cost.parallelism,
      }
    },
  }
}

const unpadded = (bytes: Buffer) => bytes.toString('base64').replace(/=+$/, '')

function format(cost: PasswordCost, salt: Buffer, hash: Buffer): string {
  return `$argon2id$v=19$m=${cost.memory},t=${cost.passes},p=${cost.parallelism}$${unpadded(salt)}$${unpadded(hash)}`
}

function parse(text: string): { cost: PasswordCost; salt: Buffer; hash: Buffer } | undefined {
  const found = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([A-Za-z0-9+/]+)\$([A-Za-z0-9+/]+)$/.exec(text)
  if (!found) return undefined
  const [, memory, passes, parallelism, salt, hash] = found
  return {
    cost: { memory: Number(memory), passes: Number(passes), parallelism: Number(parallelism) },
    salt: Buffer.from(salt!, 'base64'),
    hash: Buffer.from(hash!, 'base64'),
  }
}
