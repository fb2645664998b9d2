import { SYSTEM } from '../audit/index.ts'
import {
  announceMember,
  bootstrap,
  type Caller,
  createAccount,
  findProject,
  findUserByName,
  type Identity,
  oneTimePassword,
  openIdentity,
} from '../identity/index.ts'
import { AppError } from '../platform/app-error.ts'
import { systemClock } from '../platform/clock.ts'
import { INSTANCE, inProject } from '../platform/db/index.ts'
import { createLog } from '../platform/log.ts'
import { addAsset } from '../tickets/index.ts'
import { holdPlace, OperationRefused, openPlace, type Place } from './place.ts'
import { openToAdd, settleLogsUnlessServed } from './settle-logs.ts'

export interface Sample {
  /** A line for each thing made; passwords stand here and nowhere else. */
  readonly created: readonly string[]
  readonly notes: readonly string[]
}

const ASSETS = [
  { name: 'Main Office Switch', asset_type: 'switch', serial_number: 'SW-001-2024', location: 'Main Office' },
  { name: 'Server Room Router', asset_type: 'router', serial_number: 'RT-001-2024', location: 'Server Room' },
  { name: 'Factory Gateway', asset_type: 'switch', serial_number: 'SW-FAC-001', location: 'Factory' },
] as const
const EMPLOYEE = 'employee'

/**
 * Prepares an instance to try things with: three assets and an employee in the project `default`, and the first
 * administrator if there is none. What is there already is left alone, so it may be called again. Each thing has its
 * audit event, which is published. Refused where no server would start, and while a server runs on the data directory (SQLite).
 */
export async function initSample(on: Place = {}): Promise<Sample> {
  const place = openPlace(on)
  const lock = holdPlace(place)
  try {
    const db = await openToAdd(place)
    const log = createLog({ level: 'silent', format: 'json' })
    try {
      const identity = await openIdentity({ db, clock: systemClock, log, settings: place.config })
      const sample = await fill(identity).finally(() => identity.close())
      await settleLogsUnlessServed(place, db, on.signal)
      return sample
    } finally {
      await db.close()
    }
  } finally {
    lock.release()
  }
}

async function fill(identity: Identity): Promise<Sample> {
  const { db, clock, settings } = identity
  const created: string[] = []
  const notes: string[] = []
  const first = (await bootstrap(identity))?.created
  if (first)
    created.push(
      `administrator "${first.username}" ${first.password === undefined ? 'with the password of WRIT_ADMIN_PASSWORD' : `with the one-time password ${first.password}`}`,
    )
  const admin = await findUserByName(db, settings.adminUsername)
  const project = await findProject(db, 'default')
  if (!admin || !project)
    throw new OperationRefused(
      `The sample belongs to "${settings.adminUsername}" (WRIT_ADMIN_USERNAME), and there is no such user.`,
    )

  if (await findUserByName(db, EMPLOYEE)) notes.push(`The user "${EMPLOYEE}" is there already.`)
  else {
    const password = oneTimePassword()
    const passwordHash = await identity.passwords.hash(password)
    const account = {
      username: EMPLOYEE,
      email: null,
      fullName: null,
      passwordHash,
      role: 'employee',
      project,
    } as const
    const how = { sample: true }
    const user = await inProject(INSTANCE, () =>
      db.write((tx) => createAccount(tx, clock.now(), SYSTEM, { ...account, mustChangePassword: true, how })),
    )
    await announceMember(db, project.id, clock.now(), SYSTEM, user)
    created.push(`user "${EMPLOYEE}" with the one-time password ${password}`)
  }

  // Recorded as done by the system, on the administrator's behalf: nobody logged in.
  const caller: Caller = {
    ...SYSTEM,
    principal: `user:${admin.id}`,
    userId: admin.id,
    isInstanceAdmin: admin.is_instance_admin === 1,
    project: project.id,
    projectSlug: project.slug,
    role: 'admin',
    scopes: null,
    session: null,
    authentication: null,
    tokenId: null,
    mustChangePassword: false,
    at: clock.now(),
    requestId: '',
    traceId: '',
    spanId: null,
    traceparent: null,
    tracestate: null,
  }
  for (const body of ASSETS) {
    try {
      const asset = await inProject(project.id, () => db.write((tx) => addAsset(tx, caller, body)))
      created.push(`asset ${asset.number}, ${asset.name} (${body.serial_number})`)
    } catch (error) {
      if (!(error instanceof AppError) || error.code !== 'SERIAL_TAKEN') throw error
      notes.push(`The asset ${body.serial_number} is there already.`)
    }
  }
  return { created, notes }
}
