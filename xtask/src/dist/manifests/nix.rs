//! A Nix flake: the command line for Linux and macOS, and the application for macOS.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::super::names::Asset;
use super::super::product;
use super::{File, Release, quoted};

pub(super) fn file(release: &Release) -> File {
    let fetch = |asset: Asset| {
        format!(
            "pkgs.fetchurl {{ url = {}; hash = {}; }}",
            quoted(&release.url(asset)),
            quoted(&subresource(release.sum(asset)))
        )
    };
    let text = format!(
        r#"{{
  description = {summary};

  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixpkgs-unstable";

  outputs =
    {{ self, nixpkgs }}:
    let
      each = systems: make: nixpkgs.lib.genAttrs systems (system: make nixpkgs.legacyPackages.${{system}});
      mac = [ "aarch64-darwin" "x86_64-darwin" ];
      meta = {{
        description = {summary};
        homepage = {home};
        license = nixpkgs.lib.licenses.mit;
        mainProgram = "{command}";
        sourceProvenance = [ nixpkgs.lib.sourceTypes.binaryNativeCode ];
      }};
      # The command line, linked with all that it needs.
      commandLine =
        pkgs: src:
        pkgs.stdenvNoCC.mkDerivation {{
          pname = "{command}";
          version = "{version}";
          inherit src meta;
          dontFixup = true;
          installPhase = ''
            runHook preInstall
            mkdir -p $out
            cp -r bin share $out/
            runHook postInstall
          '';
        }};
      application =
        pkgs: src:
        pkgs.stdenvNoCC.mkDerivation {{
          pname = "{app}";
          version = "{version}";
          inherit src meta;
          nativeBuildInputs = [ pkgs.undmg ];
          sourceRoot = ".";
          dontFixup = true;
          installPhase = ''
            runHook preInstall
            mkdir -p $out/Applications $out/bin
            cp -r "{name}.app" $out/Applications/
            ln -s "$out/Applications/{name}.app/Contents/MacOS/{command}" $out/bin/{command}
            runHook postInstall
          '';
        }};
    in
    {{
      packages =
        each [ "x86_64-linux" ] (pkgs: {{
          default = commandLine pkgs ({linux});
        }})
        // each mac (pkgs: {{
          default = commandLine pkgs ({mac});
          application = application pkgs ({dmg});
        }});
    }};
}}
"#,
        summary = quoted(product::SUMMARY),
        home = quoted(&product::homepage()),
        version = release.version,
        command = product::COMMAND,
        app = product::APP,
        name = product::NAME,
        linux = fetch(Asset::LinuxTarball),
        mac = fetch(Asset::MacosTarball),
        dmg = fetch(Asset::Dmg),
    );
    ("nix/flake.nix".to_owned(), text)
}

/// A checksum in Nix's format: <https://www.w3.org/TR/SRI/>.
fn subresource(sum: &str) -> String {
    let digits: Vec<u8> =
        sum.chars().filter_map(|c| c.to_digit(16)).filter_map(|d| u8::try_from(d).ok()).collect();
    let bytes: Vec<u8> =
        digits.chunks(2).map(|pair| pair.iter().fold(0, |byte, digit| byte << 4 | digit)).collect();
    format!("sha256-{}", STANDARD.encode(bytes))
}
