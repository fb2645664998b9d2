/** What the server wrote into the page. */
export const prefix = document.documentElement.dataset.prefix || '/api/v1'
export const instanceName = document.documentElement.dataset.name || 'Writ'
/** Whether people can log in at an identity provider. */
export const hasIdentityProvider = document.documentElement.dataset.signIn === 'oidc'
/** Of the `<style>` elements that the style library makes. */
export const styleNonce = document.querySelector<HTMLMetaElement>('meta[name=style-nonce]')?.content ?? ''

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
