/** All HTTP of identity; each group has a file of its own. */
export { authHandlers } from './routes-auth.ts'
export { projectsHandlers } from './routes-projects.ts'
export { signingKeyHandlers } from './routes-signing-keys.ts'
export { tokensHandlers } from './routes-tokens.ts'
export { usersHandlers } from './routes-users.ts'
