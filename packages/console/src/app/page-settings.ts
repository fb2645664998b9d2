/** What the server wrote into the page. */
const base = document.documentElement.dataset.base ?? ''
export const paths = { console: `${base}/app`, readiness: `${base}/readyz` } as const
export const prefix = document.documentElement.dataset.prefix || '/api/v1'
export const instanceName = document.documentElement.dataset.name || 'Writ'
/** Whether people can log in at an identity provider. */
export const hasIdentityProvider = document.documentElement.dataset.signIn === 'oidc'

const failures = [
  'away',
  'refused',
  'unproven',
  'untold',
  'late',
  'unknown',
  'inactive',
  'taken',
  'unfit',
  'foreign',
  'unverified',
  'unvouched',
] as const
/** Why a login at the identity provider came to nothing, as its door said in the address; null if none did. */
export let signInFailure: (typeof failures)[number] | 'other' | null = null
/** It was shown: whoever signs in and out again is not told of it a second time. */
export function forgetSignInFailure(): void {
  signInFailure = null
}
/** Takes it out of the address, so that a page that is loaded again does not say it again. */
export function takeSignInFailure(): void {
  const [, said] = /^#sign_in=(\w+)$/.exec(location.hash) ?? []
  if (said === undefined) return
  signInFailure = failures.find((one) => one === said) ?? 'other'
  history.replaceState(null, '', location.pathname + location.search)
}

/** Of the `<style>` elements that the style library makes. */
export const styleNonce = document.querySelector<HTMLMetaElement>('meta[name=style-nonce]')?.content ?? ''

/** The host at which passkeys of this server are made and used. */
export const passkeyHost = document.documentElement.dataset.passkeyHost ?? ''

/** Preferences of this browser; nothing in here is a secret. Where storage is refused they last as long as the page. */
export const preferences = {
  get(name: string): string | null {
    try {
      return localStorage.getItem(`writ-${name}`)
    } catch {
      return null
    }
  },
  set(name: string, value: string): void {
    try {
      localStorage.setItem(`writ-${name}`, value)
    } catch {
      // Refused: it is asked for again the next time.
    }
  },
}
