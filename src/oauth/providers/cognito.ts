import type { Provider } from './provider.js'

const POOL = /^([a-z]{2}(?:-[a-z]+)+-\d)_\w+$/

/** Amazon Cognito, whose every login has a refresh token. */
export const cognito: Provider = {
  preset: { groupsClaim: 'cognito:groups', scopes: ['openid', 'profile', 'email'] },
  registers: false,
  findIssuer: text => {
    const [, region] = POOL.exec(text) ?? []
    return region === undefined ? undefined : `https://cognito-idp.${region}.amazonaws.com/${text}`
  },
  instance: 'the id of the user pool, such as eu-central-1_AbCdEfGhI'
}
