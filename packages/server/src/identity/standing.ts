import { AppError } from '../platform/app-error.ts'
import type { Tx } from '../platform/db/index.ts'
import { type Caller, personOf } from './caller.ts'
import { mayLend } from './permissions.ts'
import { findStanding, isRevoked } from './store-access.ts'

/**
 * Asks once more, in the transaction itself, whether the caller still is what they were when the request came: for what hands out rights,
 * and for what agrees to something. Who asks is known before a body is read, and a client may take its time over the body: whoever was
 * deactivated, lost the role or is locked out meanwhile leaves no account, member, invitation or token that nobody looks for any more, and
 * is nobody's second person. Throws USER_INACTIVE, CREDENTIALS_INVALID or ROLE_NOT_ALLOWED.
 */
export async function mustStillStand(tx: Tx, caller: Caller): Promise<void> {
  if (caller.project === null || caller.role === null) throw new AppError('NOT_A_MEMBER')
  const person = await findStanding(tx, personOf(caller), caller.project)
  if (person?.is_active !== 1) throw new AppError('USER_INACTIVE')
  if (await isRevoked(tx, caller)) throw new AppError('CREDENTIALS_INVALID')
  const role = person.is_instance_admin === 1 ? 'admin' : person.role
  // Of a token, too: it has no more than its owner could lend it.
  if (role === null || !mayLend(role, caller.role)) throw new AppError('ROLE_NOT_ALLOWED')
}
