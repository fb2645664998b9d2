import { append, newOrigin, SYSTEM } from '../audit/index.ts'
import { type Database, INSTANCE, inProject, UniqueViolation } from '../platform/db/index.ts'
import { uuidv7 } from '../platform/ids.ts'
import { createAccount } from './accounts.ts'
import { recordConfigured } from './configured.ts'
import type { Identity } from './identity.ts'
import { isWeak, oneTimePassword } from './password.ts'
import { createProject, healProjects, loadLogOrigin, openProjectLog } from './projects.ts'
import { anyUser } from './store.ts'
import { findProject, type ProjectRow } from './store-projects.ts'

/** The first administrator, if this start made one. The password is there only if nobody gave one: print it once. */
export type Bootstrapped = { readonly created: { readonly username: string; readonly password?: string } } | null

/**
 * What an instance needs before it can serve, at every start: the instance's log, the project `default`, logs of projects
 * whose creation was interrupted, on an empty instance the first administrator, and rows of the tokens of its configuration. Each step looks first, so a start
 * that was stopped anywhere is finished by the next one, and of two servers that start together one does each step.
 */
export async function bootstrap(identity: Identity): Promise<Bootstrapped> {
  const { db, clock } = identity
  await openInstanceLog(db, clock.now())
  const project = await openDefaultProject(db, clock.now())
  const healed = await healProjects(db, clock.now())
  if (healed > 0) identity.log.warn({ projects: healed }, 'opened logs of projects that were half created')
  const made = (await anyUser(db)) ? null : await createFirstAdministrator(identity, project)
  await recordConfigured(identity, project)
  return made
}

async function openInstanceLog(db: Database, now: number): Promise<void> {
  if ((await loadLogOrigin(db, INSTANCE)) !== undefined) return
  const origin = newOrigin()
  await openProjectLog(db, INSTANCE, origin, now)
  // Another server may have been faster; the one whose origin stands says so.
  if ((await loadLogOrigin(db, INSTANCE)) !== origin) return
  await inProject(INSTANCE, () =>
    db.write((tx) =>
      append(tx, now, SYSTEM, {
        type: 'log.opened',
        action: 'Opened the log of the instance',
        details: { log_origin: origin },
      }),
    ),
  )
}

async function openDefaultProject(db: Database, now: number): Promise<ProjectRow> {
  const known = await findProject(db, 'default')
  if (known) return known
  const project = { id: uuidv7(now), slug: 'default', name: 'Default', created_by_id: null }
  const origin = newOrigin()
  try {
    const created = await inProject(INSTANCE, () => db.write((tx) => createProject(tx, now, SYSTEM, project, origin)))
    await openProjectLog(db, project.id, origin, now)
    return created
  } catch (error) {
    if (!(error instanceof UniqueViolation)) throw error
    return (await findProject(db, 'default'))!
  }
}

async function createFirstAdministrator(identity: Identity, project: ProjectRow): Promise<Bootstrapped> {
  const { db, clock, log, settings, passwords } = identity
  const username = settings.adminUsername
  const given = settings.adminPassword?.reveal()
  if (given !== undefined && isWeak(given, username))
    log.warn({ setting: 'WRIT_ADMIN_PASSWORD' }, 'the first password of the administrator is weak: change it')
  const password = given ?? oneTimePassword()
  const passwordHash = await passwords.hash(password)
  try {
    await inProject(INSTANCE, () =>
      db.write((tx) =>
        createAccount(tx, clock.now(), SYSTEM, {
          username,
          email: null,
          fullName: null,
          passwordHash,
          role: 'admin',
          project,
          isInstanceAdmin: true,
          mustChangePassword: given === undefined,
          how: { bootstrap: true },
        }),
      ),
    )
  } catch (error) {
    if (error instanceof UniqueViolation) return null
    throw error
  }
  return { created: given === undefined ? { username, password } : { username } }
}
