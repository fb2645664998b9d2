/** All HTTP of identity; each group has a file of its own. */
export { authHandlers } from './routes-auth.ts'
export { projectsHandlers } from './routes-projects.ts'
export { tokensHandlers } from './routes-tokens.ts'
export { usersHandlers } from './routes-users.ts'
