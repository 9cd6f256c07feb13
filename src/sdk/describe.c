/* What an integration says of itself (contract §2, config models): field tables as JSON Schema.  Owns nothing else; values in tables were checked at the
 * start. */
#include "sdk/sdk.h"

static const char *type_of(enum charter_field_type type)
{
    static const char *const names[] = {"string",  "integer", "number",
                                        "boolean", "array",   "object"};
    return type == CHARTER_FIELD_ANY ? NULL : names[type];
}

static void put_json(struct charter_writer *w, const char *key, const char *json)
{
    if (json != NULL)
        charter_put_value(w, key, sdk_value(str_of(json)));
}

static void write_field(struct charter_writer *w, const struct charter_field *field)
{
    charter_write_key(w, field->name);
    charter_write_object(w);
    if (type_of(field->type) != NULL)
        charter_put_string(w, "type", type_of(field->type));
    if (field->help != NULL)
        charter_put_string(w, "description", field->help);
    put_json(w, "default", field->default_json);
    put_json(w, "minimum", field->minimum);
    put_json(w, "maximum", field->maximum);
    put_json(w, "enum", field->choices);
    charter_write_object_end(w);
}

void charter_write_schema(struct charter_writer *w, const struct charter_field *fields,
                          size_t count, unsigned flags)
{
    charter_write_object(w);
    charter_put_string(w, "type", "object");
    if (fields != NULL) {
        charter_write_key(w, "properties");
        charter_write_object(w);
        for (size_t i = 0; i < count; i++)
            write_field(w, &fields[i]);
        charter_write_object_end(w);
        charter_write_key(w, "required");
        charter_write_list(w);
        for (size_t i = 0; i < count; i++)
            if ((fields[i].flags & CHARTER_REQUIRED) != 0)
                charter_write_string(w, fields[i].name);
        charter_write_list_end(w);
        charter_put_boolean(w, "additionalProperties", (flags & CHARTER_OTHER_CONFIG) != 0);
    }
    charter_write_object_end(w);
}

void sdk_describe(struct charter_writer *w, const struct charter_integration *integration)
{
    bool other_inputs = (integration->flags & CHARTER_OTHER_INPUTS) != 0;

    charter_write_object(w);
    charter_put_string(w, "name", integration->name);
    charter_write_key(w, "config_schema");
    charter_write_schema(w, integration->config_fields, integration->config_field_count,
                         integration->flags);
    charter_write_key(w, "input_schema");
    charter_write_schema(w, integration->input_fields, integration->input_field_count,
                         other_inputs ? CHARTER_OTHER_CONFIG : 0U);
    charter_put_string(w, "output_type", charter_output_type_name(integration->output_type));
    charter_write_object_end(w);
}
