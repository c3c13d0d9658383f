"""Variables that steer what is loaded or run before a server has a say in it. Pure.

Nobody but the operator may set one: with it a user's own value would be more than a value.
"""

from typing import Final

_NAMES: Final = frozenset(
    """path home tmpdir tmp temp env bash_env shell shellopts bashopts ifs ps4 cdpath prompt_command editor visual pager
    browser lessopen lessclose manpager perl5lib perl5opt perl5db perllib rubyopt rubylib java_tool_options _java_options
    jdk_java_options java_home classpath lua_path lua_cpath lua_init phprc php_ini_scan_dir glibc_tunables gconv_path
    locpath nlspath hostaliases localdomain res_options resolv_host_conf getconf_dir nis_path tzdir openssl_conf
    openssl_engines openssl_modules ssl_cert_file ssl_cert_dir sslkeylogfile requests_ca_bundle curl_ca_bundle curl_home
    ssh_askpass sudo_askpass virtual_env docker_host docker_config docker_context kubeconfig
    dbus_session_bus_address r_profile r_environ wgetrc inputrc zdotdir fpath psmodulepath terminfo terminfo_dirs
    tcllibpath krb5_config gnupghome java_opts maven_opts gradle_opts jvm_opts aws_config_file
    aws_shared_credentials_file odbcini odbcsysini odbcinstini mysql_home pgservicefile pgsysconfdir tns_admin
    oracle_home qt_plugin_path gtk_modules gtk_path gio_extra_modules julia_load_path julia_depot_path""".split()
)
_PREFIXES: Final = tuple(
    """ld_ dyld_ node_ python git_ npm_ uv_ pip_ xdg_ bash_func_ yarn_ pnpm_ corepack_ bun_ deno_ gem_ bundle_ cargo_
    rustc rustup_ dotnet_ coreclr_ conda_ malloc_ lua_path_ lua_cpath_ lua_init_ go111 gopath goflags goroot""".split()
)


def steers(variable: str) -> bool:
    """Whether it is one of them, in whichever case: curl, npm and others take theirs in any."""
    name = variable.lower()
    return name in _NAMES or name.startswith(_PREFIXES) or name.endswith("_proxy")
