/** Who asks, inside which fence, with what key: people, sessions, tokens, projects, members, policies. */
export { announceMember, createAccount } from './accounts.ts'
export { createActing } from './acting.ts'
export {
  type Decision,
  type RecordedApproval,
  recordApproval,
  SIGN_WITHIN_MS,
  statementOf,
} from './approval.ts'
export type { Authenticator } from './authenticate.ts'
export { type Bootstrapped, bootstrap } from './bootstrap.ts'
export { type Caller, personOf, seesAll } from './caller.ts'
export { type Identity, type IdentitySettings, openIdentity } from './identity.ts'
export { oneTimePassword, type PasswordCost } from './password.ts'
export { authorize, requirePermission, requireWorkerScope } from './permissions.ts'
export {
  mustBeUsable,
  openSigned,
  type RelyingParty,
  relyingPartyOf,
  type SignedApproval,
} from './personal-signature.ts'
export { mustBeInPerson, policyDigest, policyText } from './policy.ts'
export { createSealRenewal, type SealedColumn, type SealRenewal, sealedOfUsers } from './renew-sealed.ts'
export { authHandlers, projectsHandlers, signingKeyHandlers, tokensHandlers, usersHandlers } from './routes.ts'
export {
  createSeal,
  deriveKey,
  loadSecretKey,
  redactionKey,
  type Seal,
  type SecretKeys,
  sealMark,
} from './secret-key.ts'
export { mustStillStand } from './standing.ts'
export { anonymiseUser, findAccount, findUserByName, findUserRef, forgetAnswers, type UserRef } from './store.ts'
export { findApproval } from './store-approvals.ts'
export {
  countOtherAdmins,
  findAppliedChange,
  findProject,
  holdPolicy,
  listProjects,
  loadPolicy,
  loadPolicyAndApprovers,
  logAccessOf,
  slugOf,
} from './store-projects.ts'
export { countSealed } from './store-sealed.ts'
export { countProposedKeys, findSigningKey, lockSigningKey, type SigningKeyRow } from './store-signing-keys.ts'
export { listTokenIds } from './store-tokens.ts'
