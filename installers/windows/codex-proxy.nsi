; The installer for Windows, for one user. It needs no administrator and does not affect other users.
; `cargo xtask dist --target windows` runs makensis with
;   VERSION    the version that people see, such as 0.2.0-rc.1
;   NUMBERS    the same as four numbers, such as 0.2.0.0
;   FILES      the folder with all files to install
;   ICON       the icon file
;   OUT        the installer to make
;   STORED     if given, nothing is compressed: this takes only seconds, for tests
;   SIGN       if given, the command that signs the uninstaller, with %1 for its file
;
; Options (all in capital letters):
;   /S              asks nothing and shows nothing; messages go to standard output
;   /P              shows the progress and asks nothing
;   /D=FOLDER       the folder for a first installation; it must be the last option
;   /ONPATH=0       does not change PATH (1, the default, adds the folder of codex-proxy.exe)
;   /DOWNGRADE      allows an older version; without it, the installer asks, and with /S it refuses
;   /UPDATE, /R, /ARGS   from the application's own updater: this is an update; start it afterwards, with these arguments
; Options of the uninstaller: /S, and /DELETEDATA to delete the user's data too.
; Exit codes: 0 done, 1 cancelled, 2 not done (the installed version was not changed).

Unicode true
Target amd64-unicode
RequestExecutionLevel user
ManifestDPIAware true
ManifestSupportedOS Win10
AllowSkipFiles off
; The installer does not store the times of files, so the same files give the same bytes.
SetDateSave off
!ifdef STORED
  SetCompress off
!else
  SetCompressor /SOLID lzma
!endif

!include FileFunc.nsh
!include LogicLib.nsh
!include MUI2.nsh
!include Sections.nsh
!include WinMessages.nsh
!include WinVer.nsh
!include WordFunc.nsh

!define NAME "Codex Proxy"
!define PUBLISHER "The Codex Proxy project"
; Tauri's name for the application. The web view stores its cache in a folder of this name.
!define IDENTIFIER "io.github.codex-proxy"
!define APP "codex-proxy-app.exe"
!define COMMAND "codex-proxy.exe"
!define UNINSTALLER "uninstall.exe"
; The MSI writes "msi" to Installer, this "nsis".
!define OWN_KEY "Software\${NAME}"
!define APPS_KEY "Software\Microsoft\Windows\CurrentVersion\Uninstall\${NAME}"
!define RUN_KEY "Software\Microsoft\Windows\CurrentVersion\Run"
!define APPROVED_KEY "Software\Microsoft\Windows\CurrentVersion\Explorer\StartupApproved\Run"
; https://learn.microsoft.com/microsoft-edge/webview2/concepts/distribution: where the runtime stores its version, and
; what downloads it.
!define WEBVIEW2_KEY "Microsoft\EdgeUpdate\Clients\{F3017226-FE2A-4295-8BDF-00C3A9A7E4C5}"
!define WEBVIEW2_URL "https://go.microsoft.com/fwlink/p/?LinkId=2124703"
!define WEBVIEW2_SETUP "MicrosoftEdgeWebview2Setup.exe"

Name "${NAME}"
BrandingText "${NAME} ${VERSION}"
OutFile "${OUT}"
; The path contains no space, because the system's list for starting at login has this path without quotes.
InstallDir "$LOCALAPPDATA\Programs\codex-proxy"
InstallDirRegKey HKCU "${OWN_KEY}" "InstallDir"
VIProductVersion "${NUMBERS}"
VIFileVersion "${NUMBERS}"
VIAddVersionKey "ProductName" "${NAME}"
VIAddVersionKey "CompanyName" "${PUBLISHER}"
VIAddVersionKey "FileDescription" "${NAME} Setup"
VIAddVersionKey "FileVersion" "${VERSION}"
VIAddVersionKey "ProductVersion" "${VERSION}"
VIAddVersionKey "LegalCopyright" "MIT License"
!ifdef SIGN
  !uninstfinalize `${SIGN}` = 0
!endif

; Whether a version is installed, whether it runs, and whether to ask no questions.
Var Installed
Var AppRan
Var CommandRan
Var Passive
Var Updates

!define MUI_ICON "${ICON}"
!define MUI_UNICON "${ICON}"
!define MUI_ABORTWARNING
!define MUI_COMPONENTSPAGE_NODESC
!define MUI_PAGE_CUSTOMFUNCTION_PRE SkipIfPassive
!insertmacro MUI_PAGE_COMPONENTS
!define MUI_PAGE_CUSTOMFUNCTION_PRE SkipIfInstalled
!insertmacro MUI_PAGE_DIRECTORY
!insertmacro MUI_PAGE_INSTFILES
!define MUI_FINISHPAGE_RUN "$INSTDIR\${APP}"
!define MUI_PAGE_CUSTOMFUNCTION_PRE SkipIfPassive
!insertmacro MUI_PAGE_FINISH
!insertmacro MUI_UNPAGE_COMPONENTS
!insertmacro MUI_UNPAGE_INSTFILES
!insertmacro MUI_LANGUAGE "English"

; Shows a message in the list of steps. In silent mode, also writes it to standard output.
!macro Say TEXT
  DetailPrint `${TEXT}`
  ${If} ${Silent}
    System::Call 'kernel32::GetStdHandle(i -11) p .R8'
    ${If} $R8 = 0
    ${OrIf} $R8 = -1
      System::Call 'kernel32::AttachConsole(i -1)'
      System::Call 'kernel32::GetStdHandle(i -11) p .R8'
    ${EndIf}
    FileWrite $R8 `${TEXT}$\r$\n`
  ${EndIf}
!macroend
!define Say "!insertmacro Say"

; The result is 1 if this program runs. Windows does not allow writing to the file of a running program.
!macro Runs FILE RESULT
  StrCpy ${RESULT} 0
  ${If} ${FileExists} "${FILE}"
    ClearErrors
    FileOpen $R9 "${FILE}" a
    ${If} ${Errors}
      StrCpy ${RESULT} 1
    ${Else}
      FileClose $R9
    ${EndIf}
  ${EndIf}
!macroend
!define Runs "!insertmacro Runs"

; Asks the programs in the folder to end, like their own Quit, and waits.
!macro StopRunning UN
Function ${UN}StopRunning
  ${Runs} "$INSTDIR\${APP}" $AppRan
  ${Runs} "$INSTDIR\${COMMAND}" $CommandRan
  ${If} $AppRan = 0
  ${AndIf} $CommandRan = 0
    Return
  ${EndIf}
  ask:
  ${Say} "${NAME} is asked to quit. It answers the running requests first."
  nsExec::ExecToLog '"$INSTDIR\${COMMAND}" quit'
  Pop $R0
  ${For} $R1 1 120
    ${Runs} "$INSTDIR\${APP}" $R2
    ${Runs} "$INSTDIR\${COMMAND}" $R3
    ${If} $R2 = 0
    ${AndIf} $R3 = 0
      Return
    ${EndIf}
    ; The application runs, but its proxy does not answer.
    ${If} $R1 = 12
    ${AndIf} $R2 = 1
      nsExec::ExecToLog '"$INSTDIR\${APP}" --quit'
      Pop $R0
    ${EndIf}
    Sleep 250
  ${Next}
  ${If} $Passive = 0
    MessageBox MB_RETRYCANCEL|MB_ICONEXCLAMATION "${NAME} is still running, so nothing has been changed yet.$\r$\n$\r$\nChoose Quit in the menu of its icon, or end codex-proxy where you started it. Then choose Retry." /SD IDCANCEL IDRETRY ask
  ${EndIf}
  ${Say} "${NAME} is still running, so nothing has been changed. Quit it, then run this program again."
  SetErrorLevel 2
  Abort "${NAME} is still running."
FunctionEnd
!macroend
!insertmacro StopRunning ""
!insertmacro StopRunning "un."

Function SkipIfPassive
  ${If} $Passive = 1
    Abort
  ${EndIf}
FunctionEnd

; An update uses the folder of the installed version.
Function SkipIfInstalled
  ${If} $Passive = 1
  ${OrIf} $Installed = 1
    Abort
  ${EndIf}
FunctionEnd

; Puts the version of Microsoft's WebView2 runtime into $0, or nothing if it is not installed.
Function FindWebView2
  ReadRegStr $0 HKLM "SOFTWARE\WOW6432Node\${WEBVIEW2_KEY}" "pv"
  ${If} $0 == ""
  ${OrIf} $0 == "0.0.0.0"
    ReadRegStr $0 HKCU "Software\${WEBVIEW2_KEY}" "pv"
  ${EndIf}
  ${If} $0 == "0.0.0.0"
    StrCpy $0 ""
  ${EndIf}
FunctionEnd

Section "${NAME}" Program
  SectionIn RO
  Call StopRunning
  SetOutPath "$INSTDIR"
  File "${FILES}/${APP}"
  File "${FILES}/${COMMAND}"
  File "${FILES}/LICENSE.txt"
  ; A program that is built with Microsoft's tool chain already contains it.
  !if /FileExists "${FILES}/WebView2Loader.dll"
    File "${FILES}/WebView2Loader.dll"
  !endif
  WriteUninstaller "$INSTDIR\${UNINSTALLER}"
  CreateShortcut "$SMPROGRAMS\${NAME}.lnk" "$INSTDIR\${APP}"

  WriteRegStr HKCU "${OWN_KEY}" "InstallDir" "$INSTDIR"
  WriteRegStr HKCU "${OWN_KEY}" "Installer" "nsis"
  WriteRegStr HKCU "${APPS_KEY}" "DisplayName" "${NAME}"
  WriteRegStr HKCU "${APPS_KEY}" "DisplayVersion" "${VERSION}"
  WriteRegStr HKCU "${APPS_KEY}" "DisplayIcon" "$INSTDIR\${APP},0"
  WriteRegStr HKCU "${APPS_KEY}" "Publisher" "${PUBLISHER}"
  WriteRegStr HKCU "${APPS_KEY}" "InstallLocation" "$INSTDIR"
  WriteRegStr HKCU "${APPS_KEY}" "UninstallString" '"$INSTDIR\${UNINSTALLER}"'
  WriteRegStr HKCU "${APPS_KEY}" "QuietUninstallString" '"$INSTDIR\${UNINSTALLER}" /S'
  WriteRegDWORD HKCU "${APPS_KEY}" "NoModify" 1
  WriteRegDWORD HKCU "${APPS_KEY}" "NoRepair" 1
  SectionGetSize ${Program} $0
  WriteRegDWORD HKCU "${APPS_KEY}" "EstimatedSize" $0
SectionEnd

Section "Put codex-proxy on PATH" OnPath
SectionEnd

Section "-Path"
  ; NSIS would cut off a long PATH, so the program itself changes it.
  ${If} ${SectionIsSelected} ${OnPath}
    nsExec::ExecToLog '"$INSTDIR\${COMMAND}" path add'
    Pop $0
    WriteRegDWORD HKCU "${OWN_KEY}" "OnPath" 1
  ${Else}
    nsExec::ExecToLog '"$INSTDIR\${COMMAND}" path remove'
    Pop $0
    WriteRegDWORD HKCU "${OWN_KEY}" "OnPath" 0
  ${EndIf}
  ${If} $0 == 0
    SendMessage ${HWND_BROADCAST} ${WM_SETTINGCHANGE} 0 "STR:Environment" /TIMEOUT=5000
  ${Else}
    ${Say} "PATH could not be changed. Everything else is installed; the command is $INSTDIR\${COMMAND}."
  ${EndIf}
SectionEnd

Section "-Start again"
  ; As early as possible, because clients may be waiting for it.
  ${GetParameters} $1
  ClearErrors
  ${GetOptions} $1 "/R" $0
  ${IfNot} ${Errors}
    ${GetOptions} $1 "/ARGS" $0
    Exec '"$INSTDIR\${APP}" $0'
  ${ElseIf} $Updates = 1
    ; Who has started this installer also starts the new version, and watches it.
  ${ElseIf} $AppRan = 1
    Exec '"$INSTDIR\${APP}" --hidden'
  ${ElseIf} $CommandRan = 1
    ${Say} "codex-proxy was running and was ended. Start it again in the same way as before."
  ${EndIf}
SectionEnd

Section "-WebView2"
  Call FindWebView2
  ${If} $0 != ""
  ${OrIf} $Updates = 1
    Goto done
  ${EndIf}
  ${Say} "Downloading Microsoft's WebView2 runtime. The window needs it."
  SetOutPath "$PLUGINSDIR"
  nsExec::ExecToLog '"$SYSDIR\curl.exe" --fail --silent --show-error --location --proto =https --max-time 300 --output ${WEBVIEW2_SETUP} ${WEBVIEW2_URL}'
  Pop $0
  ${IfNot} $0 == 0
    Delete "$PLUGINSDIR\${WEBVIEW2_SETUP}"
    nsExec::ExecToLog `"$SYSDIR\WindowsPowerShell\v1.0\powershell.exe" -NoProfile -NonInteractive -Command "$$ProgressPreference = 'SilentlyContinue'; [Net.ServicePointManager]::SecurityProtocol = 'Tls12'; Invoke-WebRequest -UseBasicParsing -Uri ${WEBVIEW2_URL} -OutFile ${WEBVIEW2_SETUP}"`
    Pop $0
  ${EndIf}
  ${If} ${FileExists} "$PLUGINSDIR\${WEBVIEW2_SETUP}"
    ClearErrors
    ExecWait '"$PLUGINSDIR\${WEBVIEW2_SETUP}" /silent /install' $0
  ${EndIf}
  SetOutPath "$INSTDIR"
  Call FindWebView2
  ${If} $0 == ""
    ${Say} "${NAME} is installed and works, but its window needs Microsoft's WebView2 runtime, and the download failed. Install it from ${WEBVIEW2_URL}, or open the window in a browser with: codex-proxy window"
    ${If} $Passive = 0
      MessageBox MB_OK|MB_ICONINFORMATION "${NAME} is installed and works, but its window needs Microsoft's WebView2 runtime, and the download failed.$\r$\n$\r$\nInstall it from ${WEBVIEW2_URL}$\r$\nor open the window in a browser with the command: codex-proxy window" /SD IDOK
    ${EndIf}
  ${EndIf}
  done:
SectionEnd

Function .onInit
  ${IfNot} ${AtLeastWin10}
    ${Say} "${NAME} needs Windows 10 or newer."
    MessageBox MB_OK|MB_ICONSTOP "${NAME} needs Windows 10 or newer." /SD IDOK
    SetErrorLevel 2
    Abort
  ${EndIf}
  StrCpy $Passive 0
  StrCpy $Updates 0
  StrCpy $Installed 0
  ${GetParameters} $1
  ClearErrors
  ${GetOptions} $1 "/P" $0
  ${IfNot} ${Errors}
    StrCpy $Passive 1
    SetAutoClose true
  ${EndIf}
  ClearErrors
  ${GetOptions} $1 "/UPDATE" $0
  ${IfNot} ${Errors}
    StrCpy $Updates 1
  ${EndIf}

  ReadRegStr $0 HKCU "${OWN_KEY}" "Installer"
  ${If} $0 == "msi"
    ${Say} "${NAME} was installed by its MSI package. Remove it first, in Settings > Apps; your data stays."
    MessageBox MB_OK|MB_ICONSTOP "${NAME} was installed by its MSI package.$\r$\n$\r$\nRemove it first, in Settings > Apps. Your data stays." /SD IDOK
    SetErrorLevel 2
    Abort
  ${EndIf}

  ReadRegStr $0 HKCU "${OWN_KEY}" "InstallDir"
  ${If} $0 != ""
  ${AndIf} ${FileExists} "$0\${APP}"
    StrCpy $Installed 1
    StrCpy $INSTDIR $0
  ${EndIf}

  ; Keeps the earlier choice unless there is a new one.
  ReadRegDWORD $0 HKCU "${OWN_KEY}" "OnPath"
  ${If} $Installed = 0
    StrCpy $0 1
  ${EndIf}
  ClearErrors
  ${GetOptions} $1 "/ONPATH=" $2
  ${IfNot} ${Errors}
    StrCpy $0 $2
  ${EndIf}
  ${If} $0 == 0
    !insertmacro UnselectSection ${OnPath}
  ${EndIf}

  ${If} $Installed = 1
    Call CheckVersion
  ${EndIf}
FunctionEnd

; Checks if this version is older than the installed one. If it is, continues only if the user wants that.
Function CheckVersion
  ReadRegStr $0 HKCU "${APPS_KEY}" "DisplayVersion"
  ${WordFind} "$0" "-" "+1" $1
  ${WordFind} "$1" "+" "+1" $1
  ${VersionCompare} "${NUMBERS}" "$1" $2
  ${If} $2 <> 2
    Return
  ${EndIf}
  ${GetParameters} $2
  ClearErrors
  ${GetOptions} $2 "/DOWNGRADE" $3
  ${IfNot} ${Errors}
    Return
  ${EndIf}
  ${If} $Passive = 0
    MessageBox MB_YESNO|MB_ICONQUESTION|MB_DEFBUTTON2 "${NAME} $0 is installed. This setup program installs the older version ${VERSION}, which may not be able to read the newer version's data.$\r$\n$\r$\nDo you want to install the older version?" /SD IDNO IDYES wanted
  ${EndIf}
  ${Say} "${NAME} $0 is installed, which is newer than ${VERSION}. Nothing was changed. To install the older version, use /DOWNGRADE."
  SetErrorLevel 2
  Abort
  wanted:
FunctionEnd

Section "-un.Stop"
  Call un.StopRunning
SectionEnd

Section /o "un.Delete my data too: settings, API keys, sign-in, usage" DeleteData
  nsExec::ExecToLog '"$INSTDIR\${COMMAND}" uninstall-data --yes'
  Pop $0
  ${IfNot} $0 == 0
    ${Say} "Not all of your data could be deleted. It is in $LOCALAPPDATA\codex-proxy and $APPDATA\codex-proxy, and the keys are in the Credential Manager."
    MessageBox MB_OK|MB_ICONEXCLAMATION "Not all of your data could be deleted. It is in$\r$\n$LOCALAPPDATA\codex-proxy$\r$\n$APPDATA\codex-proxy$\r$\nand the keys are in the Credential Manager." /SD IDOK
  ${EndIf}
SectionEnd

Section "un.${NAME}" UnProgram
  SectionIn RO
  nsExec::ExecToLog '"$INSTDIR\${COMMAND}" path remove'
  Pop $0
  ${If} $0 == 0
    SendMessage ${HWND_BROADCAST} ${WM_SETTINGCHANGE} 0 "STR:Environment" /TIMEOUT=5000
  ${EndIf}
  Delete "$INSTDIR\${APP}"
  Delete "$INSTDIR\${COMMAND}"
  Delete "$INSTDIR\LICENSE.txt"
  Delete "$INSTDIR\WebView2Loader.dll"
  Delete "$INSTDIR\${UNINSTALLER}"
  RMDir "$INSTDIR"
  Delete "$SMPROGRAMS\${NAME}.lnk"
  DeleteRegValue HKCU "${RUN_KEY}" "${NAME}"
  DeleteRegValue HKCU "${APPROVED_KEY}" "${NAME}"
  DeleteRegKey HKCU "${APPS_KEY}"
  DeleteRegKey HKCU "${OWN_KEY}"
  ; The window's cache.
  RMDir /r "$LOCALAPPDATA\${IDENTIFIER}"
SectionEnd

Function un.onInit
  StrCpy $Passive 0
  ${GetParameters} $1
  ClearErrors
  ${GetOptions} $1 "/DELETEDATA" $0
  ${IfNot} ${Errors}
    !insertmacro SelectSection ${DeleteData}
  ${EndIf}
FunctionEnd
