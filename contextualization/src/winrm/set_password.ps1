$ErrorActionPreference = 'Stop'
$lines = @($input | ForEach-Object { [Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($_.Trim())) })
$account = [ADSI]$lines[0]
$account.SetPassword($lines[1])
